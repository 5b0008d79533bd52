"""Environments side by side in this process, and what is known of them wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv

from seqrl_cli.envs.make import Environment, make_env, space_sizes
from seqrl_cli.errors import SeqrlError


class EnvironmentFailure(SeqrlError):
    """An environment broke while it was made, reset or stepped."""


@dataclass(frozen=True)
class Setup:
    """Which environments to make; plain values, which JSON can carry to another process.

    Attributes:
        env_id: gymnasium id.
        slots: how many (E).
        max_episode_steps: step limit; None = that of ``make_env``.
        observation_size: observation dimensions kept, the first ones; None = all.
    """

    env_id: str
    slots: int
    max_episode_steps: int | None = None
    observation_size: int | None = None


@dataclass(frozen=True)
class Layout:
    """What each of the environments takes and gives; plain values again.

    Attributes:
        observation_dim, action_dim: sizes.
        observation_dtype, action_dtype: as numpy spells them, for example ``<f8``.
        low, high: bounds of an action, ``action_dim`` numbers each.
        max_episode_steps: the step limit.
        nq, nv: sizes of MuJoCo's positions and velocities; 0 of any other simulator.
    """

    observation_dim: int
    observation_dtype: str
    action_dim: int
    action_dtype: str
    low: list[float]
    high: list[float]
    max_episode_steps: int
    nq: int
    nv: int

    @property
    def row(self) -> np.dtype:
        """What a slot shows, as one record without gaps."""
        return np.dtype(
            [
                ("observation", self.observation_dtype, (self.observation_dim,)),
                ("reward", np.float64),
                ("terminated", np.bool_),
                ("truncated", np.bool_),
                ("qpos", np.float64, (self.nq,)),
                ("qvel", np.float64, (self.nv,)),
            ]
        )


class Slots(Protocol):
    """E environments, here or in another process.

    Attributes:
        layout: of each of them.
        rows: ``(E,)`` of ``layout.row``, what each slot shows, brought up to date by ``start`` and ``step``: its last
            observation and simulator state, zeros before its first episode, and the reward and the end of the latest
            step, 0 and false where that was none of its own.
    """

    layout: Layout
    rows: np.ndarray

    def start(self, slot: int, seed: int) -> None:
        """Reset one."""

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step those that ``(E,)`` bool chooses with their rows of ``(E, action_dim)``."""

    def close(self) -> None:
        """Free all."""


class LocalSlots:
    """Environments in this process.

    Args:
        setup: which.

    Raises:
        EnvironmentFailure: one raised something when it was made.
        SeqrlError: there is no such environment, or its observations or actions are not flat boxes.
    """

    def __init__(self, setup: Setup) -> None:
        self._env_id = setup.env_id
        with self._naming_failures("when it was made"):
            self._envs = [_made(setup) for _ in range(setup.slots)]
        self.layout = _layout(self._envs[0])
        self.rows = np.zeros(setup.slots, self.layout.row)

    def start(self, slot: int, seed: int) -> None:
        """Reset one.

        Raises:
            EnvironmentFailure: it raised something.
        """
        forget_step(self.rows)
        with self._naming_failures("when it was reset"):
            self.rows[slot]["observation"] = self._envs[slot].reset(seed=seed)[0]
        self._note_state(slot)

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step the chosen ones.

        Raises:
            EnvironmentFailure: one raised something.
        """
        forget_step(self.rows)
        for slot in np.flatnonzero(chosen).tolist():
            row = self.rows[slot]
            with self._naming_failures("in a step"):
                observation, reward, row["terminated"], row["truncated"], _ = self._envs[slot].step(actions[slot])
                row["observation"], row["reward"] = observation, float(reward)
            self._note_state(slot)

    def close(self) -> None:
        """Free the environments."""
        for env in self._envs:
            env.close()

    def _note_state(self, slot: int) -> None:
        env: Any = self._envs[slot].unwrapped
        if self.layout.nq:
            self.rows[slot]["qpos"], self.rows[slot]["qvel"] = env.data.qpos, env.data.qvel

    @contextmanager
    def _naming_failures(self, when: str) -> Iterator[None]:
        """Tell whatever an environment raises as its failure.

        Raises:
            EnvironmentFailure: it raised something.
        """
        try:
            yield
        except SeqrlError:
            raise
        except Exception as error:  # whatever it is, it is the environment's
            first_line = f"{type(error).__name__}: {error}".splitlines()[0]
            hint = "SEQRL_DEBUG=1 shows where the environment failed"
            raise EnvironmentFailure(f"environment {self._env_id} failed {when}: {first_line}", hint) from error


def forget_step(rows: np.ndarray) -> None:
    """No slot has earned anything or ended, as long as nothing else is noted."""
    rows["reward"], rows["terminated"], rows["truncated"] = 0.0, False, False


def _made(setup: Setup) -> Environment:
    """One environment, its observations cut."""
    env, size = make_env(setup.env_id, max_episode_steps=setup.max_episode_steps), setup.observation_size
    if size is None or space_sizes(env)[0] <= size:
        return env
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Box) and space.dtype is not None
    kept = gymnasium.spaces.Box(space.low[:size], space.high[:size], dtype=space.dtype.type)
    return gymnasium.wrappers.TransformObservation(env, lambda observation: observation[:size], kept)


def _layout(env: Environment) -> Layout:
    observation_dim, action_dim = space_sizes(env)
    actions, observations, simulation = env.action_space, env.observation_space, env.unwrapped
    nq, nv = (simulation.model.nq, simulation.model.nv) if isinstance(simulation, MujocoEnv) else (0, 0)
    assert isinstance(actions, gymnasium.spaces.Box) and isinstance(observations, gymnasium.spaces.Box)
    assert actions.dtype is not None and observations.dtype is not None
    assert env.spec is not None and env.spec.max_episode_steps is not None, "make_env sees to it"
    return Layout(
        observation_dim=observation_dim,
        observation_dtype=observations.dtype.str,
        action_dim=action_dim,
        action_dtype=actions.dtype.str,
        low=actions.low.tolist(),
        high=actions.high.tolist(),
        max_episode_steps=env.spec.max_episode_steps,
        nq=nq,
        nv=nv,
    )
