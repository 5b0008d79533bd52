"""Makes simulator states of observations: an environment's body, and the positions of an imagined plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.probe import check_in_subprocess
from seqrl_cli.envs.simulator import mujoco
from seqrl_cli.errors import SeqrlError


@dataclass(frozen=True)
class Body:
    """What drawing needs to know about an environment.

    Attributes:
        model: the MuJoCo model.
        dt: seconds of one environment step: simulation step times frame skip.
        hidden: how many leading positions observations leave out: x, and y for a body that moves freely.
        readable: whether observations begin with all other positions and all velocities, so that plans can be drawn.
    """

    model: Any
    dt: float
    hidden: int
    readable: bool = True

    @property
    def observed(self) -> int:
        """How many observation entries are positions and velocities; ant's contact forces follow them."""
        return int(self.model.nq + self.model.nv - self.hidden)


def load_body(env_id: str) -> Body:
    """Load the body of a MuJoCo environment.

    Raises:
        SeqrlError: there is no such environment, or it is not simulated by MuJoCo.
    """
    check_in_subprocess(env_id)
    env = make_env(env_id)
    simulation: Any = env.unwrapped
    try:
        if not hasattr(simulation, "model") or not hasattr(simulation, "frame_skip"):
            raise SeqrlError(f"environment {env_id!r} is not a MuJoCo environment, so it cannot be drawn")
        observation, _ = env.reset(seed=0)
        hidden = _hidden_positions(simulation.data, observation)
        dt = float(simulation.model.opt.timestep * simulation.frame_skip)
        return Body(simulation.model, dt, hidden or 0, readable=hidden is not None)
    finally:
        env.close()


def _hidden_positions(data: mujoco.MjData, observation: np.ndarray) -> int | None:
    """How many leading positions an observation leaves out; None if it does not begin with the rest of the state."""
    for hidden in range(3):
        state = np.concatenate([data.qpos[hidden:], data.qvel])
        if len(observation) >= len(state) and np.allclose(observation[: len(state)], state):
            return hidden
    return None


def imagined_positions(body: Body, observations: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The positions that a plan passes through.

    Observations lack the position along the track. It starts at the true one and is integrated from the predicted
    velocities (trapezoidal rule).

    Args:
        body: the body from :func:`load_body`.
        observations: predicted observations ``(horizon, observation_dim)``, the first at the current step; the plan
            ends before the first row with a NaN.
        start: true positions at the current step, ``(nq,)``.

    Returns:
        Generalized positions ``(rows, nq)`` with ``rows <= horizon``.
    """
    unknown = np.isnan(observations[:, : body.observed]).any(axis=1)
    rows = observations[: unknown.argmax() if unknown.any() else len(observations), : body.observed]
    positions = np.empty((len(rows), body.model.nq))
    positions[:, body.hidden :] = rows[:, : body.model.nq - body.hidden]
    velocity = rows[:, body.model.nq - body.hidden :][:, : body.hidden]
    moved = body.dt * (velocity[1:] + velocity[:-1]) / 2
    positions[:1, : body.hidden] = start[: body.hidden]
    positions[1:, : body.hidden] = start[: body.hidden] + np.cumsum(moved, axis=0)
    return positions


def check_states(body: Body, qpos: np.ndarray, plan_observations: np.ndarray | None, name: str) -> None:
    """Check that states have the sizes of this body.

    Raises:
        SeqrlError: sizes differ; the message contains ``name``.
    """
    if qpos.shape[1] != body.model.nq:
        raise SeqrlError(f"{name} has {qpos.shape[1]} positions per state, but its environment has {body.model.nq}")
    if plan_observations is not None and plan_observations.shape[2] < body.observed:
        size = plan_observations.shape[2]
        raise SeqrlError(f"{name} has plans of {size} numbers per step, but its environment needs {body.observed}")
