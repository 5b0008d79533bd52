"""Several episodes side by side, each reproducible from its own seed whatever runs beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from seqrl_cli.envs.make import Environment, make_env, space_sizes
from seqrl_cli.errors import SeqrlError


class EnvironmentFailure(SeqrlError):
    """An environment broke while it was reset or stepped."""


@dataclass(frozen=True)
class Step:
    """What one step gave each of the E slots; a slot that was not stepped keeps its observation and earns 0.

    Attributes:
        observations: ``(E, observation_dim)`` float64; of a slot that just ended, the episode's last observation.
        rewards: ``(E,)`` float64.
        terminated: ``(E,)`` bool, true on the step at which the environment ended the episode.
        truncated: ``(E,)`` bool, true on the step at which the step limit did.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


@dataclass(frozen=True)
class SimulatorState:
    """MuJoCo's generalised positions ``(nq,)`` and velocities ``(nv,)`` of one slot, float64."""

    qpos: np.ndarray
    qvel: np.ndarray


class EpisodeVector:
    """E slots, each of which plays one seeded episode after another and waits in between.

    Args:
        env_id: gymnasium id.
        slots: how many episodes can run at the same time (E).
        max_episode_steps: step limit; by default that of ``make_env``.
        observation_size: keep the first so many observation dimensions, as the data was cut; None keeps all.

    Raises:
        SeqrlError: the environment cannot be made, or its observations or actions are not flat boxes.
    """

    def __init__(
        self, env_id: str, slots: int, *, max_episode_steps: int | None = None, observation_size: int | None = None
    ) -> None:
        assert slots > 0

        def make() -> _Slot:
            return _Slot(_first_dimensions(make_env(env_id, max_episode_steps=max_episode_steps), observation_size))

        # On the step that ends an episode the vector resets the slot without a seed, which a slot takes as "wait".
        self._vector = SyncVectorEnv(
            [make for _ in range(slots)],
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        self._vector.reset()
        self.observation_dim, self.action_dim = space_sizes(self._slot(0))

    def __len__(self) -> int:
        """Number of slots."""
        return self._vector.num_envs

    @property
    def max_episode_steps(self) -> int:
        """The step limit."""
        spec = self._slot(0).spec
        assert spec is not None and spec.max_episode_steps is not None, "make_env sees to it"
        return spec.max_episode_steps

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        """What one slot accepts as action."""
        space = self._vector.single_action_space
        assert isinstance(space, gymnasium.spaces.Box)
        return space

    @property
    def active(self) -> np.ndarray:
        """``(E,)`` bool: the slots in the middle of an episode."""
        return np.array([not self._slot(index).waiting for index in range(len(self))])

    def start(self, slot: int, seed: int) -> np.ndarray:
        """Start an episode in a slot, dropping what ran there; returns the observation ``(observation_dim,)``."""
        mask = np.arange(len(self)) == slot
        seeds = [seed if chosen else None for chosen in mask]
        observations: np.ndarray = self._vector.reset(seed=seeds, options={"reset_mask": mask})[0]
        return np.asarray(observations[slot])

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> Step:
        """Step the chosen slots; the others cost nothing.

        Args:
            actions: ``(E, action_dim)``; rows of slots that are not stepped are ignored.
            active: ``(E,)`` bool, the slots to step, all of them in an episode; by default every slot that is in one.
        """
        running = self.active
        chosen = running if active is None else np.asarray(active)
        assert not (chosen & ~running).any(), "a slot was stepped that has no episode"
        for index, on in enumerate(chosen):
            self._slot(index).skipping = not on
        observations, rewards, terminated, truncated, _ = self._vector.step(actions)
        return Step(observations, rewards, terminated, truncated)

    def states(self) -> list[SimulatorState]:
        """The simulator state of each slot, as copies; empty arrays where the environment is not a MuJoCo one."""
        return [_simulator_state(self._slot(index).unwrapped) for index in range(len(self))]

    def close(self) -> None:
        """Free the environments."""
        self._vector.close()

    def _slot(self, index: int) -> _Slot:
        slot = self._vector.envs[index]
        assert isinstance(slot, _Slot)
        return slot


def _simulator_state(env: Environment) -> SimulatorState:
    if not isinstance(env, MujocoEnv):
        return SimulatorState(np.empty(0), np.empty(0))
    return SimulatorState(env.data.qpos.copy(), env.data.qvel.copy())


def _first_dimensions(env: Environment, size: int | None) -> Environment:
    space = env.observation_space
    if size is None or space_sizes(env)[0] <= size:
        return env
    assert isinstance(space, gymnasium.spaces.Box) and space.dtype is not None
    kept = gymnasium.spaces.Box(space.low[:size], space.high[:size], dtype=space.dtype.type)
    return gymnasium.wrappers.TransformObservation(env, lambda observation: observation[:size], kept)


class _Slot(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that holds still between episodes."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.waiting = True
        self.skipping = False
        self._observation = np.zeros(space_sizes(env)[0])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode if there is a seed, otherwise wait with the observation as it is."""
        self.waiting = seed is None
        if seed is not None:
            with _naming_failures(self.env, "when it was reset"):
                self._observation, _ = self.env.reset(seed=seed, options=options)
        return self._observation, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step, unless the slot waits or is skipped."""
        if self.waiting or self.skipping:
            return self._observation, 0.0, False, False, {}
        with _naming_failures(self.env, "in a step"):
            self._observation, reward, terminated, truncated, _ = self.env.step(action)
            return self._observation, float(reward), terminated, truncated, {}


@contextmanager
def _naming_failures(env: Environment, when: str) -> Iterator[None]:
    """Tell whatever an environment raises as its failure.

    Raises:
        EnvironmentFailure: it raised something.
    """
    try:
        yield
    except Exception as error:  # whatever it is, it is the environment's
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        first_line = f"{type(error).__name__}: {error}".splitlines()[0]
        hint = "SEQRL_DEBUG=1 shows where the environment failed"
        raise EnvironmentFailure(f"environment {name} failed {when}: {first_line}", hint) from error
