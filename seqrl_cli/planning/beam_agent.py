"""An agent that plans by beam search, for all episodes in one batch."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.planning.beam import TimeLimit, best_plans, draw_noise
from seqrl_cli.planning.cuda_graph import GraphedPlanner
from seqrl_cli.planning.memory_budget import episodes_that_fit
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import LiveEpisode
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.timed_decoder import TimedDecoder
from seqrl_cli.planning.value_readout import ValueReadout


@dataclass
class _PlanState:
    """What the agent keeps of an episode.

    Attributes:
        tokens: tokens of the most recent transitions, (transition_dim,) each.
        pending: actions of the current plan that are not executed yet, (actions, action_dim).
        plans: the plan made at each step; None at steps that followed an older plan.
        recurrent_state: the model's state after the transitions that are no longer in ``tokens``, if it has one.
    """

    tokens: deque[np.ndarray]
    pending: np.ndarray
    plans: list[np.ndarray | None] = field(default_factory=list)
    recurrent_state: Any = None


class BeamAgent:
    """Plans every few steps and executes the plans.

    An episode's plans do not depend on the episodes beside it: the random numbers of a whole plan come from the
    episode's own generator, and a decoder computes a group of rows bit for bit the same whatever groups are beside it.

    Args:
        decoder: the model.
        discretizer: turns transitions into tokens.
        settings: the search.
        episodes: the most episodes that run side by side.
        choices: number of discrete actions; None if actions are continuous.
        profile: adds up the time spent in each part.
        max_memory: bytes that one batch of plans may take; what does not fit is planned in several batches.
        make_graph_decoder: makes decoders for plans that are captured as CUDA graphs; None to plan without graphs.

    Raises:
        SeqrlError: the plan of a single episode needs more than ``max_memory``.
    """

    def __init__(
        self,
        decoder: Decoder,
        discretizer: Discretizer,
        settings: SearchSettings,
        *,
        episodes: int,
        choices: int | None = None,
        profile: Profile | None = None,
        max_memory: int | None = None,
        make_graph_decoder: Callable[[], Decoder] | None = None,
    ) -> None:
        self.profile = profile or Profile()
        self.decoder = TimedDecoder(decoder, self.profile)
        self.discretizer = discretizer
        self.settings = settings
        self.readout = ValueReadout(discretizer.midpoints, settings.percentile, decoder.device)
        self.choices = choices
        self._graphed = (
            GraphedPlanner(make_graph_decoder, self.readout, settings, choices) if make_graph_decoder else None
        )
        self.batch = episodes_that_fit(decoder, settings, episodes, max_memory)
        start = decoder.observation_dim
        self._action = slice(start, start + decoder.action_dim)  # the action's dimensions in a transition

    def reset(self, episode: LiveEpisode) -> None:
        """See :meth:`Agent.reset`."""
        longest = None if self.settings.is_recurrent else self.settings.max_context_transitions
        episode.agent_state = _PlanState(deque(maxlen=longest), np.empty((0, self.decoder.action_dim)))

    def decide(self, episodes: Sequence[LiveEpisode]) -> list[np.ndarray]:
        """See :meth:`Agent.decide`."""
        for episode in episodes:
            if episode.actions:
                self._append_transition(episode)
        for episode in episodes:
            episode.agent_state.plans.append(None)
        self._plan([episode for episode in episodes if len(episode.actions) % self.settings.plan_freq == 0])
        return [self._next_action(episode) for episode in episodes]

    def plans(self, episode: LiveEpisode) -> dict[str, np.ndarray]:
        """See :meth:`Agent.plans`; NaN at steps without a new plan, and after the end of a plan cut short."""
        made = episode.agent_state.plans
        values = np.full((len(made), self.settings.horizon, self.discretizer.dims), np.nan, np.float32)
        for step, plan in enumerate(made):
            if plan is not None:
                values[step, : len(plan)] = self.discretizer.decode(plan)
        return {
            "plan_observations": values[:, :, : self._action.start],
            "plan_actions": values[:, :, self._action],
            "plan_rewards": values[:, :, -2],
            "plan_values": values[:, :, -1],
        }

    def _append_transition(self, episode: LiveEpisode) -> None:
        """Append the latest transition; its value is unknown, so it gets the highest bin, as in the original."""
        observation, action = episode.observations[-2], episode.actions[-1]
        transition = np.concatenate([observation, np.atleast_1d(action), [episode.rewards[-1], np.inf]])
        episode.agent_state.tokens.append(self.discretizer.encode(transition))

    def _plan(self, episodes: list[LiveEpisode]) -> None:
        """Plan for the episodes: those with equal history lengths together, as many at once as memory allows."""
        with self.profile.measure("sampling"):
            for group in self._groups(episodes):
                limit = self._limit(len(group) / len(episodes))
                states = [episode.agent_state for episode in group]
                decoder = self._advance(states) if self.settings.is_recurrent else self.decoder
                context = torch.from_numpy(np.stack([self._context(episode) for episode in group])).to(
                    self.decoder.device
                )
                noise = draw_noise([episode.generator for episode in group], self.settings, self.decoder)
                if self._graphed:
                    with self.profile.measure("decode"):  # the parts of a graph cannot be timed
                        plans = self._graphed(context, noise).cpu()
                else:
                    plans = best_plans(decoder, self.readout, context, self.settings, noise, self.choices, limit).cpu()
                for state, best in zip(states, plans.numpy(), strict=True):
                    state.plans[-1] = best[0]
                    state.pending = self._mean_actions(best)

    def _mean_actions(self, plans: np.ndarray) -> np.ndarray:
        """Actions (planned, action_dim), averaged over plans (elites, planned, transition_dim); choices of the best."""
        averaged = plans if self.choices is None else plans[:1]
        actions = self.discretizer.decode(averaged[:, :, self._action], start=self._action.start)
        mean: np.ndarray = actions.mean(axis=0)
        return mean

    def _limit(self, share: float) -> TimeLimit | None:
        """The time limit of a batch that has a share of all plans that are due."""
        seconds = self.settings.seconds_per_step
        if seconds is None:
            return None
        return TimeLimit(seconds * self.settings.plan_freq * share, self.decoder.device)

    def _advance(self, states: list[_PlanState]) -> TimedDecoder:
        """Move the latest transitions into the recurrent states and return the decoder that continues from them.

        Args:
            states: states with the same number of transitions each.
        """
        if states[0].tokens:
            past = np.stack([np.concatenate(state.tokens) for state in states]).astype(np.int64)
            updated = self._with_state(states).update_state(torch.from_numpy(past).to(self.decoder.device))
            for state, recurrent_state in zip(states, updated, strict=True):
                state.recurrent_state = recurrent_state
                state.tokens.clear()
        return self._with_state(states)

    def _with_state(self, states: list[_PlanState]) -> TimedDecoder:
        """The decoder that continues from the recurrent states, or the plain one at the start of an episode."""
        if states[0].recurrent_state is None:
            return self.decoder
        return self.decoder.with_state([state.recurrent_state for state in states])

    def _groups(self, episodes: list[LiveEpisode]) -> Iterator[list[LiveEpisode]]:
        by_history: dict[tuple[int, bool], list[LiveEpisode]] = defaultdict(list)
        for episode in episodes:
            state = episode.agent_state
            by_history[len(state.tokens), state.recurrent_state is None].append(episode)
        for group in by_history.values():
            for first in range(0, len(group), self.batch):
                yield group[first : first + self.batch]

    def _context(self, episode: LiveEpisode) -> np.ndarray:
        """Tokens of the past and the current observation, (time,) int64."""
        past = list(episode.agent_state.tokens) if self.settings.prefix_context else []
        return np.concatenate([*past, self.discretizer.encode(episode.observations[-1])]).astype(np.int64)

    def _next_action(self, episode: LiveEpisode) -> np.ndarray:
        """Take the next action off the plan."""
        state = episode.agent_state
        action, state.pending = state.pending[0], state.pending[1:]
        return action if self.choices is None else np.asarray(action[0], np.int64)
