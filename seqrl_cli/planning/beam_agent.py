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
from seqrl_cli.planning.beam import beam_plan, draw
from seqrl_cli.planning.cuda_graph import CapturedPlans
from seqrl_cli.planning.memory_budget import episodes_that_fit
from seqrl_cli.planning.profile import Profile, TimedDecoder
from seqrl_cli.planning.rollout import Playing
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.planning.value_readout import BinValues


@dataclass
class _Memory:
    """What the planner keeps of an episode.

    Attributes:
        tokens: of the last transitions, (transition_dim,) each.
        pending: transitions of the current plan that were not carried out yet, (transitions, transition_dim) tokens.
        plans: the plan made at each step; None at steps that followed an older one.
        carried: the model's own memory of what is no longer in ``tokens``.
    """

    tokens: deque[np.ndarray]
    pending: np.ndarray
    plans: list[np.ndarray | None] = field(default_factory=list)
    carried: Any = None


class BeamAgent:
    """Plans every few steps and carries the plans out.

    Its random numbers come from the episode's generator, a whole plan's at once; and the decoder computes a group of
    rows bit for bit the same whatever groups are beside it.

    Args:
        decoder: the model.
        discretizer: how transitions become tokens.
        settings: the search.
        episodes: most episodes that it is asked about at once.
        profile: where time is added up.
        max_memory: bytes that one batch of plans may take; what does not fit is planned in several batches.
        capturable: makes decoders for plans that are captured as CUDA graphs; None to plan without.

    Raises:
        SeqrlError: one episode alone does not fit into the memory.
    """

    def __init__(
        self,
        decoder: Decoder,
        discretizer: Discretizer,
        settings: PlanSettings,
        *,
        episodes: int,
        profile: Profile | None = None,
        max_memory: int | None = None,
        capturable: Callable[[], Decoder] | None = None,
    ) -> None:
        self.profile = profile or Profile()
        self.decoder = TimedDecoder(decoder, self.profile)
        self.discretizer, self.settings = discretizer, settings
        self.values = BinValues(discretizer.midpoints, settings.percentile, decoder.device)
        self._captured = CapturedPlans(capturable, self.values, settings) if capturable else None
        self.batch = episodes_that_fit(decoder, settings, episodes, max_memory)
        first = decoder.observation_dim
        self._action = slice(first, first + decoder.action_dim)  # the action's dimensions in a transition

    def begin(self, episode: Playing) -> None:
        """See :meth:`Agent.begin`."""
        longest = None if self.settings.is_recurrent else self.settings.max_context_transitions
        episode.memory = _Memory(deque(maxlen=longest), np.empty((0, self.discretizer.dims), np.int64))

    def decide(self, episodes: Sequence[Playing]) -> list[np.ndarray]:
        """See :meth:`Agent.decide`."""
        for episode in episodes:
            if episode.actions:
                self._remember(episode)
        self._plan([episode for episode in episodes if self._plans_now(episode)])
        return [self._next_action(episode) for episode in episodes]

    def plans(self, episode: Playing) -> dict[str, np.ndarray]:
        """See :meth:`Agent.plans`; NaN at steps without a new plan."""
        made = episode.memory.plans
        values = np.full((len(made), self.settings.horizon, self.discretizer.dims), np.nan, np.float32)
        for step, plan in enumerate(made):
            if plan is not None:
                values[step] = self.discretizer.decode(plan)
        return {
            "plan_observations": values[:, :, : self._action.start],
            "plan_actions": values[:, :, self._action],
            "plan_rewards": values[:, :, -2],
            "plan_values": values[:, :, -1],
        }

    def _plans_now(self, episode: Playing) -> bool:
        return len(episode.actions) % self.settings.plan_freq == 0

    def _remember(self, episode: Playing) -> None:
        """Take in the latest transition; its value is not known, so it gets the highest bin, as in the original."""
        observation, action = episode.observations[-2], episode.actions[-1]
        transition = np.concatenate([observation, action, [episode.rewards[-1], np.inf]])
        episode.memory.tokens.append(self.discretizer.encode(transition))

    def _plan(self, episodes: list[Playing]) -> None:
        """Plan for the episodes, those with equally long histories together, as many at once as memory allows."""
        with self.profile.measure("sampling"):
            for group in self._groups(episodes):
                decoder = self._carry_on([one.memory for one in group]) if self.settings.is_recurrent else self.decoder
                context = torch.from_numpy(np.stack([self._context(one) for one in group])).to(self.decoder.device)
                draws = draw([one.generator for one in group], self.settings, self.decoder)
                if self._captured:
                    with self.profile.measure("decode"):  # from outside, a graph has no parts
                        plans = self._captured(context, draws).cpu()
                else:
                    plans = beam_plan(decoder, self.values, context, self.settings, draws).cpu()
                for one, plan in zip(group, plans.numpy(), strict=True):
                    one.memory.pending = plan

    def _carry_on(self, memories: list[_Memory]) -> TimedDecoder:
        """Move the episodes' latest transitions, equally many each, into what is carried; the decoder after them."""
        if memories[0].tokens:
            past = np.stack([np.concatenate(memory.tokens) for memory in memories]).astype(np.int64)
            carried = self._with_state(memories).update_state(torch.from_numpy(past).to(self.decoder.device))
            for memory, state in zip(memories, carried, strict=True):
                memory.carried = state
                memory.tokens.clear()
        return self._with_state(memories)

    def _with_state(self, memories: list[_Memory]) -> TimedDecoder:
        """The decoder for what follows on what is carried, if anything is."""
        if memories[0].carried is None:
            return self.decoder
        return self.decoder.with_state([memory.carried for memory in memories])

    def _groups(self, episodes: list[Playing]) -> Iterator[list[Playing]]:
        by_history: dict[tuple[int, bool], list[Playing]] = defaultdict(list)
        for one in episodes:
            by_history[len(one.memory.tokens), one.memory.carried is None].append(one)
        for group in by_history.values():
            for first in range(0, len(group), self.batch):
                yield group[first : first + self.batch]

    def _context(self, episode: Playing) -> np.ndarray:
        """Tokens of the past and the current observation, (time,) int64."""
        past = list(episode.memory.tokens) if self.settings.prefix_context else []
        return np.concatenate([*past, self.discretizer.encode(episode.observations[-1])]).astype(np.int64)

    def _next_action(self, episode: Playing) -> np.ndarray:
        """The action of the plan's next transition, which leaves the plan."""
        memory = episode.memory
        memory.plans.append(memory.pending if self._plans_now(episode) else None)
        planned = self.discretizer.decode(memory.pending[0, self._action], start=self._action.start)
        memory.pending = memory.pending[1:]
        return planned
