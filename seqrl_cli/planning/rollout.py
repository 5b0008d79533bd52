"""The closed loop: several episodes side by side, each as it would be alone.

What an episode does depends on its own history and its own random stream only. Its environment is seeded from (seed,
episode), its random numbers come from a generator of (seed, purpose, episode), and an agent answers for each episode
bit for bit the same whatever episodes are beside it. So the actions of an episode are the same alone and among others,
on a CPU.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from seqrl_cli.envs.vector.vector import SeededVectorEnv, SimulatorState
from seqrl_cli.planning.profile import Profile


@dataclass(frozen=True)
class EpisodeRecord:
    """One finished episode of T steps, perhaps planned H transitions ahead.

    Attributes:
        episode: its index.
        seed: the environment's seed.
        terminated: whether the environment ended it, rather than the step limit.
        seconds_per_step: mean wall time of its steps, shared with the episodes beside it.
        observations: (T + 1, observation_dim) float32.
        actions: (T, action_dim) float32, as executed.
        rewards: (T,) float32.
        qpos: (T + 1, nq) float64, simulator positions.
        qvel: (T + 1, nv) float64, simulator velocities.
        plan_observations: (T, H, observation_dim) float32, the plan made at each step, its first row the current step;
            NaN at steps that followed an older plan.
        plan_actions: (T, H, action_dim) float32.
        plan_rewards: (T, H) float32.
        plan_values: (T, H) float32. All four are None of an agent that does not look ahead.
    """

    episode: int
    seed: int
    terminated: bool
    seconds_per_step: float
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray
    plan_observations: np.ndarray | None = None
    plan_actions: np.ndarray | None = None
    plan_rewards: np.ndarray | None = None
    plan_values: np.ndarray | None = None

    @property
    def not_finite(self) -> str | None:
        """Which numbers blew up first, as in ``rewards of step 7``; None when all are finite."""
        found = {}
        for kind in ("observations", "actions", "rewards"):  # in the order in which a step gives them
            broken = np.argwhere(~np.isfinite(getattr(self, kind)))
            if len(broken):
                found[kind] = int(broken[0][0])
        kind = min(found, key=found.__getitem__, default="")
        return f"{kind} of step {found[kind]:,}" if found else None

    @property
    def total_reward(self) -> float:
        """The episode's return."""
        return float(self.rewards.sum(dtype=np.float64))


def environment_seed(seed: int, episode: int) -> int:
    """Seed of an episode's environment."""
    return int(np.random.SeedSequence((seed, episode)).generate_state(1)[0])


@dataclass
class Playing:
    """An episode in a slot, up to now: one observation more than actions and rewards.

    Attributes:
        earned: sum of the rewards.
        memory: the agent's own.
    """

    episode: int
    seed: int
    generator: np.random.Generator
    observations: list[np.ndarray]
    states: list[SimulatorState]
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    earned: float = 0.0
    seconds: float = 0.0
    terminated: bool = False
    memory: Any = None


class Agent(Protocol):
    """Whoever decides what episodes do; for the same episode the same, whatever others there are."""

    def begin(self, episode: Playing) -> None:
        """Give a fresh episode its memory."""

    def decide(self, episodes: Sequence[Playing]) -> Sequence[np.ndarray]:
        """The next action (action_dim,) of each episode; what lies outside the box is clipped to it."""

    def plans(self, episode: Playing) -> dict[str, np.ndarray]:
        """What it meant to do in an episode that has ended: the ``plan_…`` arrays of :class:`EpisodeRecord`, if any."""


class Rollout:
    """Play episodes with an agent.

    Args:
        agent: decides.
        vector: the environments; as many episodes run at once as it has slots.
        seed: what all episodes' randomness derives from, together with their index.
        purpose: what the agent's random numbers are for, where others are drawn from the same seed for something else.
        profile: where time is added up.
    """

    def __init__(
        self,
        agent: Agent,
        vector: SeededVectorEnv,
        *,
        seed: int,
        purpose: Sequence[int] = (),
        profile: Profile | None = None,
    ) -> None:
        self.agent, self.vector, self.seed, self.purpose = agent, vector, seed, purpose
        self.profile = profile or Profile()

    def play(
        self,
        episodes: Sequence[int],
        on_episode: Callable[[EpisodeRecord], None],
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        """Play episodes; a slot whose episode ends takes the next one.

        Args:
            episodes: their indices.
            on_episode: called with each episode as soon as it ends.
            on_step: called after each step of the vector with (episodes running, episodes finished).
        """
        waiting = deque(episodes)
        slots: list[Playing | None] = [None] * len(self.vector)
        finished = 0
        while waiting or any(slots):
            start = time.perf_counter()
            for index, slot in enumerate(slots):
                if slot is None and waiting:
                    slots[index] = self._start(index, waiting.popleft())
            running = {index: slot for index, slot in enumerate(slots) if slot is not None}
            ended = self._act(running)
            for slot in running.values():
                slot.seconds += time.perf_counter() - start
            for index in ended:
                with self.profile.measure("io"):
                    on_episode(self._record(running[index]))
                slots[index] = None
                finished += 1
            if on_step:
                on_step(len(running) - len(ended), finished)

    def _start(self, index: int, episode: int) -> Playing:
        """Begin an episode in a slot."""
        seed = environment_seed(self.seed, episode)
        with self.profile.measure("environment"):
            observation = self.vector.start(index, seed)
            state = self.vector.states()[index]
        generator = np.random.default_rng([self.seed, *self.purpose, episode])
        playing = Playing(episode, seed, generator, observations=[observation.astype(np.float32)], states=[state])
        self.agent.begin(playing)
        return playing

    def _act(self, running: dict[int, Playing]) -> list[int]:
        """Ask the agent and step each slot; returns the slots whose episode ended."""
        space = self.vector.action_space
        actions = np.zeros((len(self.vector), self.vector.action_dim), np.float32)
        decided = self.agent.decide(list(running.values()))
        for index, action in zip(running, decided, strict=True):
            actions[index] = np.clip(action, space.low, space.high)
        with self.profile.measure("environment"):
            step = self.vector.step(actions)
            states = self.vector.states()
        for index, slot in running.items():
            slot.actions.append(actions[index])
            slot.rewards.append(float(step.rewards[index]))
            slot.earned += slot.rewards[-1]
            slot.observations.append(step.observations[index].astype(np.float32))
            slot.states.append(states[index])
            slot.terminated = bool(step.terminated[index])
        return [index for index in running if step.terminated[index] or step.truncated[index]]

    def _record(self, slot: Playing) -> EpisodeRecord:
        """The arrays of a finished episode."""
        return EpisodeRecord(
            slot.episode,
            slot.seed,
            slot.terminated,
            slot.seconds / len(slot.actions),
            observations=np.stack(slot.observations),
            actions=np.stack(slot.actions),
            rewards=np.array(slot.rewards, np.float32),
            qpos=np.stack([state.qpos for state in slot.states]),
            qvel=np.stack([state.qvel for state in slot.states]),
            **self.agent.plans(slot),
        )
