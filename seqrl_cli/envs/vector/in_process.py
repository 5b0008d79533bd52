"""Environments side by side in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv

from seqrl_cli.envs.make import Environment, make_env, spaces_of
from seqrl_cli.envs.vector.backend import EnvironmentFailedError, EnvLayout, EnvSpec, forget_step
from seqrl_cli.errors import SeqrlError


class InProcessBackend:
    """Environments in this process.

    Args:
        spec: which environments.

    Raises:
        EnvironmentFailedError: one raised something when it was made.
        SeqrlError: there is no such environment, or its observations or actions are neither boxes nor choices.
    """

    def __init__(self, spec: EnvSpec) -> None:
        self._env_id = spec.env_id
        self._envs: list[Environment] = []
        try:
            for _ in range(spec.num_envs):
                self._envs.append(self._make(spec))
            self.layout = _layout(self._envs[0])
        except BaseException:  # half a vector is of no use
            self.close()
            raise
        self.rows = np.zeros(spec.num_envs, self.layout.row)

    def start(self, index: int, seed: int) -> None:
        """Reset one environment.

        Raises:
            EnvironmentFailedError: it raised something.
        """
        forget_step(self.rows)
        with self._naming_failures("when it was reset"):
            self.rows[index]["observation"] = self._envs[index].reset(seed=seed)[0]
        self._note_state(index)

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step the chosen environments.

        Raises:
            EnvironmentFailedError: one raised something.
        """
        forget_step(self.rows)
        for index in np.flatnonzero(chosen).tolist():
            row = self.rows[index]
            with self._naming_failures("in a step"):
                observation, reward, row["terminated"], row["truncated"], _ = self._envs[index].step(actions[index])
                row["observation"] = observation
                row["reward"] = float(reward)
            self._note_state(index)

    def close(self) -> None:
        """Free the environments."""
        for env in self._envs:
            env.close()

    def _make(self, spec: EnvSpec) -> Environment:
        """One environment, its observations cut."""
        with self._naming_failures("when it was made"):
            env = make_env(spec.env_id, max_episode_steps=spec.max_episode_steps)
        try:
            return _cut(env, spec.observation_size)
        except BaseException:
            env.close()
            raise

    def _note_state(self, index: int) -> None:
        env: Any = self._envs[index].unwrapped
        if self.layout.nq:
            self.rows[index]["qpos"], self.rows[index]["qvel"] = env.data.qpos, env.data.qvel

    @contextmanager
    def _naming_failures(self, when: str) -> Iterator[None]:
        """Report whatever an environment raises as its failure.

        Raises:
            EnvironmentFailedError: it raised something.
        """
        try:
            yield
        except SeqrlError:
            raise
        except Exception as error:  # any error there is the environment's
            first_line = f"{type(error).__name__}: {error}".splitlines()[0]
            hint = "SEQRL_DEBUG=1 shows where the environment failed"
            raise EnvironmentFailedError(f"environment {self._env_id} failed {when}: {first_line}", hint) from error


def _cut(env: Environment, size: int | None) -> Environment:
    """The environment with only the first ``size`` dimensions of its observations; None keeps all."""
    spaces = spaces_of(env)
    if spaces.first_observations(size) == spaces:
        return env
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Box) and space.dtype is not None
    cut_space = gymnasium.spaces.Box(space.low[:size], space.high[:size], dtype=space.dtype.type)
    return gymnasium.wrappers.TransformObservation(env, lambda observation: observation[:size], cut_space)


def _layout(env: Environment) -> EnvLayout:
    simulation = env.unwrapped
    nq, nv = (simulation.model.nq, simulation.model.nv) if isinstance(simulation, MujocoEnv) else (0, 0)
    assert env.spec is not None and env.spec.max_episode_steps is not None, "make_env sets a limit"
    return EnvLayout(spaces_of(env), env.spec.max_episode_steps, nq, nv)
