"""The closed loop of agent and environments: several episodes side by side, each with the result it has alone.

An episode depends only on its own history and its own random numbers. Its environment is seeded from (seed, episode),
and its generator from (seed, purpose, episode). An agent's action for an episode is bit for bit the same whatever other
episodes are in the batch. So, on a CPU, an episode has the same actions alone and among others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from seqrl_cli.data.space import BoxSpace
from seqrl_cli.envs.vector.vector import SeededVectorEnv, SimulatorState
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.profile import Profile


def environment_seed(seed: int, episode: int) -> int:
    """The seed of an episode's environment."""
    return int(np.random.SeedSequence((seed, episode)).generate_state(1)[0])


@dataclass
class LiveEpisode:
    """A running episode up to now, with one observation more than actions and rewards.

    Attributes:
        episode: number of the episode.
        seed: the environment's seed.
        generator: the episode's own random numbers, for the agent.
        observations: observations so far, (observation_dim,) each, or images (*shape,).
        states: states of the simulator, one per observation.
        actions: actions so far, as executed, (action_dim,) each, or discrete choices ().
        rewards: rewards so far.
        total_reward: sum of the rewards.
        seconds: wall time so far.
        terminated: whether the environment has ended it.
        successes: 1 after each step where the environment reports success, 0 where not, -1 where it reports nothing.
        agent_state: memory that the agent keeps of the episode; only the agent uses it.
    """

    episode: int
    seed: int
    generator: np.random.Generator
    observations: list[np.ndarray]
    states: list[SimulatorState]
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    total_reward: float = 0.0
    seconds: float = 0.0
    terminated: bool = False
    successes: list[int] = field(default_factory=list)
    agent_state: Any = None


class Agent(Protocol):
    """Chooses actions. An episode's action must not depend on the other episodes in the batch."""

    def reset(self, episode: LiveEpisode) -> None:
        """Prepare for a new episode: set its ``agent_state``."""

    def decide(self, episodes: Sequence[LiveEpisode]) -> Sequence[np.ndarray]:
        """Choose the next action (action_dim,) of each episode; actions are clipped to the action space afterwards."""

    def plans(self, episode: LiveEpisode) -> dict[str, np.ndarray]:
        """The plans made in a finished episode: the ``plan_…`` arrays of :class:`EpisodeRecord`; empty without any."""


class Rollout:
    """Play episodes with an agent.

    Args:
        agent: chooses the actions.
        vector: the environments; as many episodes run at once as it has environments.
        seed: together with an episode's number, determines all of its random numbers.
        purpose: sets the agent's random numbers apart from others that are drawn from the same seed.
        profile: adds up the time spent in each part.
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
        self.agent = agent
        self.vector = vector
        self.seed = seed
        self.purpose = purpose
        self.profile = profile or Profile()
        space = vector.spaces.action
        self._bounds = space.bounds if isinstance(space, BoxSpace) else None
        self._playing: list[LiveEpisode | None] = [None] * len(vector)
        self._waiting: deque[int] = deque()

    def play(
        self,
        episodes: Sequence[int],
        on_episode: Callable[[EpisodeRecord], None],
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        """Play episodes; an environment whose episode ends takes the next one.

        Args:
            episodes: numbers of the episodes.
            on_episode: called with each episode as it ends.
            on_step: called after each step of the vector with (episodes running, episodes finished).
        """
        play_together([self], [episodes], lambda _, record: on_episode(record), on_step)

    def prepare(self, episodes: Sequence[int]) -> None:
        """Set the episodes to play next, by their numbers."""
        self._waiting = deque(episodes)

    def start_waiting(self) -> dict[int, LiveEpisode]:
        """Start waiting episodes in idle environments; returns all that run, by environment."""
        for index, live in enumerate(self._playing):
            if live is None and self._waiting:
                self._playing[index] = self._start(index, self._waiting.popleft())
        return {index: live for index, live in enumerate(self._playing) if live is not None}

    def finish(self, index: int) -> EpisodeRecord:
        """Free an environment whose episode ended; returns the episode."""
        live = self._playing[index]
        assert live is not None
        self._playing[index] = None
        return self._record(live)

    def _start(self, index: int, episode: int) -> LiveEpisode:
        """Start an episode in an environment."""
        seed = environment_seed(self.seed, episode)
        with self.profile.measure("environment"):
            observation = self.vector.start(index, seed)
            state = self.vector.states()[index]
        generator = np.random.default_rng([self.seed, *self.purpose, episode])
        live = LiveEpisode(episode, seed, generator, observations=[_stored(observation)], states=[state])
        self.agent.reset(live)
        return live

    def step(self, running: dict[int, LiveEpisode], decided: Sequence[np.ndarray]) -> list[int]:
        """Step each running environment with its action; returns those whose episode ended."""
        kind = np.int64 if self._bounds is None else np.float32
        actions = np.zeros((len(self.vector), *self.vector.spaces.action.shape), kind)
        for index, action in zip(running, decided, strict=True):
            actions[index] = action if self._bounds is None else np.clip(action, *self._bounds)
        with self.profile.measure("environment"):
            step = self.vector.step(actions)
            states = self.vector.states()
        for index, live in running.items():
            live.actions.append(actions[index].copy())
            live.rewards.append(float(step.rewards[index]))
            live.total_reward += live.rewards[-1]
            live.observations.append(_stored(step.observations[index]))
            live.states.append(states[index])
            live.terminated = bool(step.terminated[index])
            live.successes.append(int(step.successes[index]))
        return [index for index in running if step.terminated[index] or step.truncated[index]]

    def _record(self, live: LiveEpisode) -> EpisodeRecord:
        """The arrays of a finished episode."""
        return EpisodeRecord(
            live.episode,
            live.seed,
            live.terminated,
            live.seconds / len(live.actions),
            observations=np.stack(live.observations),
            actions=np.stack(live.actions),
            rewards=np.array(live.rewards, np.float32),
            qpos=np.stack([state.qpos for state in live.states]),
            qvel=np.stack([state.qvel for state in live.states]),
            successes=np.array(live.successes, bool) if min(live.successes) >= 0 else None,
            **self.agent.plans(live),
        )


def play_together(
    rollouts: Sequence[Rollout],
    episodes: Sequence[Sequence[int]],
    on_episode: Callable[[int, EpisodeRecord], None],
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Play episodes of several rollouts side by side; their agents choose all actions of a step in one call.

    Args:
        rollouts: the rollouts, each with its own environments; the first one's agent decides for all, so agents must be
            alike.
        episodes: numbers of each rollout's episodes.
        on_episode: called with each episode as it ends, and the index of its rollout.
        on_step: called after each step with (episodes running, episodes finished).
    """
    for rollout, numbers in zip(rollouts, episodes, strict=True):
        rollout.prepare(numbers)
    finished = 0
    while True:
        start = time.perf_counter()
        running = [rollout.start_waiting() for rollout in rollouts]
        live = [one for part in running for one in part.values()]
        if not live:
            return
        decided = iter(rollouts[0].agent.decide(live))
        ended = [
            rollout.step(part, [next(decided) for _ in part]) for rollout, part in zip(rollouts, running, strict=True)
        ]
        for one in live:
            one.seconds += time.perf_counter() - start
        for index, (rollout, done) in enumerate(zip(rollouts, ended, strict=True)):
            for environment in done:
                with rollout.profile.measure("io"):
                    on_episode(index, rollout.finish(environment))
        count = sum(map(len, ended))
        finished += count
        if on_step:
            on_step(len(live) - count, finished)


def _stored(observation: np.ndarray) -> np.ndarray:
    """An observation as it is kept: images as bytes, all else as float32."""
    return observation.astype(np.uint8 if observation.dtype == np.uint8 else np.float32)
