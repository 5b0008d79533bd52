"""Closed-loop planning: several episodes side by side, each as it would be alone.

An episode's plans depend on its own history and its own random stream only. Its environment is seeded from (seed,
episode); its random numbers come from a generator made from the same pair, a whole plan's at once; and the decoder
computes a group of rows bit for bit the same whatever groups are beside it. So the actions of an episode are the same
alone and among others, on a CPU.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.envs.vector import EpisodeVector, SimulatorState
from seqrl_cli.models.decoder import Decoder
from seqrl_cli.planning.beam import beam_plan, draw
from seqrl_cli.planning.memory import episodes_that_fit
from seqrl_cli.planning.profile import Profile, TimedDecoder
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.planning.values import BinValues


@dataclass(frozen=True)
class EpisodeRecord:
    """One finished episode of T steps, planned H transitions ahead.

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
        plan_values: (T, H) float32.
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
    plan_observations: np.ndarray
    plan_actions: np.ndarray
    plan_rewards: np.ndarray
    plan_values: np.ndarray

    @property
    def total_reward(self) -> float:
        """The episode's return."""
        return float(self.rewards.sum(dtype=np.float64))


def environment_seed(seed: int, episode: int) -> int:
    """Seed of an episode's environment."""
    return int(np.random.SeedSequence((seed, episode)).generate_state(1)[0])


@dataclass
class _Running:
    """An episode in a slot."""

    episode: int
    seed: int
    generator: np.random.Generator
    observations: list[np.ndarray]
    states: list[SimulatorState]
    tokens: deque[np.ndarray]
    pending: np.ndarray
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    plans: list[np.ndarray | None] = field(default_factory=list)
    seconds: float = 0.0
    terminated: bool = False
    memory: Any = None


class Rollout:
    """Play episodes with a planner.

    Args:
        decoder: the model.
        discretizer: how transitions become tokens.
        vector: the environments; as many episodes run at once as it has slots.
        settings: the search.
        seed: what all episodes' randomness derives from, together with their index.
        profile: where time is added up.
        max_memory: bytes that one batch of plans may take; what does not fit is planned in several batches.

    Raises:
        SeqrlError: one episode alone does not fit into the memory.
    """

    def __init__(
        self,
        decoder: Decoder,
        discretizer: Discretizer,
        vector: EpisodeVector,
        settings: PlanSettings,
        *,
        seed: int,
        profile: Profile | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.profile = profile or Profile()
        self.decoder = TimedDecoder(decoder, self.profile)
        self.discretizer, self.vector, self.settings, self.seed = discretizer, vector, settings, seed
        self.values = BinValues(discretizer.midpoints, settings.percentile, decoder.device)
        self.batch = episodes_that_fit(decoder, settings, len(vector), max_memory)

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
        slots: list[_Running | None] = [None] * len(self.vector)
        finished = 0
        while waiting or any(slots):
            start = time.perf_counter()
            for index, slot in enumerate(slots):
                if slot is None and waiting:
                    slots[index] = self._start(index, waiting.popleft())
            running = {index: slot for index, slot in enumerate(slots) if slot is not None}
            self._plan([slot for slot in running.values() if len(slot.actions) % self.settings.plan_freq == 0])
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

    def _start(self, index: int, episode: int) -> _Running:
        """Begin an episode in a slot."""
        seed = environment_seed(self.seed, episode)
        with self.profile.measure("environment"):
            observation = self.vector.start(index, seed)
            state = self.vector.states()[index]
        return _Running(
            episode,
            seed,
            np.random.default_rng((self.seed, episode)),
            observations=[observation.astype(np.float32)],
            states=[state],
            tokens=deque(maxlen=None if self.settings.carries else self.settings.max_context_transitions),
            pending=np.empty((0, self.discretizer.dims), np.int64),
        )

    def _plan(self, slots: list[_Running]) -> None:
        """Plan for the slots, those with equally long histories together, as many at once as memory allows."""
        with self.profile.measure("sampling"):
            for group in self._groups(slots):
                decoder = self._carry_on(group) if self.settings.carries else self.decoder
                context = torch.from_numpy(np.stack([self._context(slot) for slot in group])).to(self.decoder.device)
                draws = draw([slot.generator for slot in group], self.settings, self.decoder)
                plans = beam_plan(decoder, self.values, context, self.settings, draws).cpu().numpy()
                for slot, plan in zip(group, plans, strict=True):
                    slot.pending = plan

    def _carry_on(self, slots: list[_Running]) -> TimedDecoder:
        """Move the slots' latest transitions, equally many each, into their memories; the decoder after them."""
        if slots[0].tokens:
            past = np.stack([np.concatenate(slot.tokens) for slot in slots]).astype(np.int64)
            memories = self._after(slots).remember(torch.from_numpy(past).to(self.decoder.device))
            for slot, memory in zip(slots, memories, strict=True):
                slot.memory = memory
                slot.tokens.clear()
        return self._after(slots)

    def _after(self, slots: list[_Running]) -> TimedDecoder:
        """The decoder for what follows on the slots' memories, if they have any."""
        return self.decoder if slots[0].memory is None else self.decoder.after([slot.memory for slot in slots])

    def _groups(self, slots: list[_Running]) -> Iterator[list[_Running]]:
        by_history: dict[tuple[int, bool], list[_Running]] = defaultdict(list)
        for slot in slots:
            by_history[len(slot.tokens), slot.memory is None].append(slot)
        for group in by_history.values():
            for first in range(0, len(group), self.batch):
                yield group[first : first + self.batch]

    def _context(self, slot: _Running) -> np.ndarray:
        """Tokens of the past and the current observation, (time,) int64."""
        past = list(slot.tokens) if self.settings.prefix_context else []
        return np.concatenate([*past, self.discretizer.encode(slot.observations[-1])]).astype(np.int64)

    def _act(self, running: dict[int, _Running]) -> list[int]:
        """Carry out the next planned action in each slot; returns the slots whose episode ended."""
        space = self.vector.action_space
        actions = np.zeros((len(self.vector), self.vector.action_dim), np.float32)
        for index, slot in running.items():
            is_new = len(slot.actions) % self.settings.plan_freq == 0
            slot.plans.append(slot.pending if is_new else None)
            planned = self.discretizer.decode(slot.pending[0, self._action], start=self._action.start)
            actions[index] = np.clip(planned, space.low, space.high)
            slot.pending = slot.pending[1:]
        with self.profile.measure("environment"):
            step = self.vector.step(actions)
            states = self.vector.states()
        for index, slot in running.items():
            self._remember(slot, actions[index], float(step.rewards[index]))
            slot.observations.append(step.observations[index].astype(np.float32))
            slot.states.append(states[index])
            slot.terminated = bool(step.terminated[index])
        return [index for index in running if step.terminated[index] or step.truncated[index]]

    @property
    def _action(self) -> slice:
        """The action's dimensions in a transition."""
        return slice(self.vector.observation_dim, self.vector.observation_dim + self.vector.action_dim)

    def _remember(self, slot: _Running, action: np.ndarray, reward: float) -> None:
        """Add a transition to an episode; its value is not known, so it gets the highest bin, as in the original."""
        transition = np.concatenate([slot.observations[-1], action, [reward, np.inf]])
        slot.tokens.append(self.discretizer.encode(transition))
        slot.actions.append(action)
        slot.rewards.append(reward)

    def _record(self, slot: _Running) -> EpisodeRecord:
        """The arrays of a finished episode."""
        plans = self._decode_plans(slot.plans)
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
            plan_observations=plans[:, :, : self._action.start],
            plan_actions=plans[:, :, self._action],
            plan_rewards=plans[:, :, -2],
            plan_values=plans[:, :, -1],
        )

    def _decode_plans(self, plans: list[np.ndarray | None]) -> np.ndarray:
        """(T, H, transition_dim) float32, NaN at steps without a new plan."""
        values = np.full((len(plans), self.settings.horizon, self.discretizer.dims), np.nan, np.float32)
        for step, plan in enumerate(plans):
            if plan is not None:
                values[step] = self.discretizer.decode(plan)
        return values
