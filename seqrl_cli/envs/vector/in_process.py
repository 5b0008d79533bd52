"""Environments side by side in this process."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from seqrl_cli.envs.guard import naming_failures
from seqrl_cli.envs.make import Environment, episode_limit, make_env, spaces_of
from seqrl_cli.envs.simulator import MujocoEnv
from seqrl_cli.envs.success import stated_success
from seqrl_cli.envs.vector.backend import Columns, EnvLayout, EnvSpec


class InProcessBackend:
    """Environments in this process.

    Args:
        spec: the environments to make.

    Raises:
        EnvironmentFailedError: one raised something when it was made.
        SeqrlError: there is no such environment, or its observations or actions are neither boxes nor discrete.
    """

    def __init__(self, spec: EnvSpec) -> None:
        self._env_id = spec.env_id
        self._envs: list[Environment] = []
        try:
            for _ in range(spec.num_envs):
                self._envs.append(self._make(spec))
            self.layout = _layout(self._envs[0], spec.env_id)
        except BaseException:  # close the environments made so far
            self.close()
            raise
        self.rows = np.zeros(spec.num_envs, self.layout.row)
        self._columns = Columns.of(self.rows)

    def start(self, index: int, seed: int) -> None:
        """Reset one environment.

        Raises:
            EnvironmentFailedError: it raised something.
        """
        self._columns.forget_step()
        observation = self._envs[index].reset(seed=seed)[0]
        with naming_failures(self._env_id, "when it was reset"):  # the observation may not be numbers
            self.rows[index]["observation"] = observation
        self._note_state(index)

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step the chosen environments.

        Raises:
            EnvironmentFailedError: one raised something.
        """
        self._columns.forget_step()
        observations, rewards, terminated, truncated, successes = self._columns
        with naming_failures(self._env_id, "in a step"):
            for index in np.flatnonzero(chosen).tolist():
                observation, reward, ended, stopped, info = self._envs[index].step(actions[index])
                observations[index], rewards[index] = observation, reward
                if ended or stopped:  # before, forget_step has written the rest
                    terminated[index], truncated[index] = ended, stopped
                if (solved := stated_success(info)) is not None:
                    successes[index] = solved
                self._note_state(index)

    def close(self) -> None:
        """Free the environments."""
        for env in self._envs:
            env.close()

    def _make(self, spec: EnvSpec) -> Environment:
        """One environment, its observations cut."""
        env = make_env(
            spec.env_id, render_mode=spec.render_mode, max_episode_steps=spec.max_episode_steps, goals=spec.goals
        )
        try:
            return _cut(env, spec.observation_size)
        except BaseException:
            env.close()
            raise

    def _note_state(self, index: int) -> None:
        if self.layout.nq:
            env: Any = self._envs[index].unwrapped
            self.rows[index]["qpos"], self.rows[index]["qvel"] = env.data.qpos, env.data.qvel


def _cut(env: Environment, size: int | None) -> Environment:
    """The environment with only the first ``size`` dimensions of its observations; None keeps all."""
    spaces = spaces_of(env)
    if spaces.first_observations(size) == spaces:
        return env
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Box) and space.dtype is not None
    cut_space = gymnasium.spaces.Box(space.low[:size], space.high[:size], dtype=space.dtype.type)
    return gymnasium.wrappers.TransformObservation(env, lambda observation: observation[:size], cut_space)


def _layout(env: Environment, env_id: str) -> EnvLayout:
    simulation = env.unwrapped
    nq, nv = (simulation.model.nq, simulation.model.nv) if isinstance(simulation, MujocoEnv) else (0, 0)
    assert env.spec is not None and env.spec.max_episode_steps is not None, "make_env sets a limit"
    return EnvLayout(spaces_of(env), env.spec.max_episode_steps, nq, nv, episode_limit(env_id))
