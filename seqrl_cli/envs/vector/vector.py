"""Several episodes side by side, each reproducible from its own seed, whatever runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seqrl_cli.envs.vector.backend import Columns, EnvBackend, EnvSpec
from seqrl_cli.envs.vector.in_process import InProcessBackend


@dataclass(frozen=True)
class Step:
    """The results of one step in E environments; one that was not stepped keeps its observation and earns 0.

    Attributes:
        observations: ``(E, *observation_shape)`` of the environment's type, float64 for MuJoCo; where an episode just
            ended, the episode's last observation.
        rewards: ``(E,)`` float64.
        terminated: ``(E,)`` bool, true on the step at which the environment ended the episode.
        truncated: ``(E,)`` bool, true on the step at which the step limit did.
        successes: ``(E,)`` int8, 1 where the environment reports success, 0 where it reports none, else -1.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    successes: np.ndarray


@dataclass(frozen=True)
class SimulatorState:
    """MuJoCo's generalized positions ``(nq,)`` and velocities ``(nv,)`` of one environment, float64."""

    qpos: np.ndarray
    qvel: np.ndarray


class SeededVectorEnv:
    """E environments; each plays one seeded episode after another and waits in between.

    Args:
        env_id: gymnasium id.
        num_envs: number of episodes that can run at the same time (E).
        max_episode_steps: step limit; by default that of ``make_env``.
        observation_size: number of leading observation dimensions to keep, as in the data; None = all.
        goals: ``seen`` or ``held-out``, for environments whose goals are split; None = their default.
        backend: makes the environments, here or in a process of their own (``SubprocessBackend``).

    Raises:
        SeqrlError: the environment cannot be made, or its observations or actions are neither boxes nor discrete.
    """

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        *,
        max_episode_steps: int | None = None,
        observation_size: int | None = None,
        goals: str | None = None,
        backend: Callable[[EnvSpec], EnvBackend] = InProcessBackend,
    ) -> None:
        assert num_envs > 0
        self._backend = backend(EnvSpec(env_id, num_envs, max_episode_steps, observation_size, goals))
        self._columns = Columns.of(self._backend.rows)
        self._running = np.zeros(num_envs, np.bool_)
        layout = self._backend.layout
        self.spaces = layout.spaces  # of one environment
        self.max_episode_steps = layout.max_episode_steps

    def __len__(self) -> int:
        """Number of environments."""
        return len(self._running)

    @property
    def active(self) -> np.ndarray:
        """``(E,)`` bool: the environments in the middle of an episode."""
        return self._running.copy()

    def start(self, index: int, seed: int) -> np.ndarray:
        """Start an episode in one environment, dropping what ran there; returns the first observation.

        Raises:
            EnvironmentFailedError: the environment broke.
        """
        self._backend.start(index, seed)
        self._running[index] = True
        observation: np.ndarray = self._columns.observations[index].copy()
        return observation

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> Step:
        """Step the chosen environments; the others cost nothing.

        Args:
            actions: ``(E, action_dim)``, or ``(E,)`` choices; rows of environments that are not stepped are ignored.
            active: ``(E,)`` bool, the environments to step, all in an episode; by default all that are in one.

        Raises:
            EnvironmentFailedError: an environment broke.
        """
        chosen = self.active if active is None else np.asarray(active)
        assert active is None or not (chosen & ~self._running).any(), "a step needs an episode"
        self._backend.step(actions, chosen)
        self._running &= ~(self._columns.terminated | self._columns.truncated)
        return Step(*[column.copy() for column in self._columns])

    def states(self) -> list[SimulatorState]:
        """The simulator state of each environment, as copies; empty arrays where it is not a MuJoCo one."""
        return [SimulatorState(row["qpos"].copy(), row["qvel"].copy()) for row in self._backend.rows]

    def close(self) -> None:
        """Free the environments."""
        self._backend.close()
