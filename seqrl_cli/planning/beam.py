"""Beam search over trajectories, for several episodes at once (Janner et al. 2021, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.models.decoding.interface import Decoder, greedy_token
from seqrl_cli.planning.filters import sample
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.planning.value_readout import BinValues

REWARD, VALUE = -2, -1
"""The last two dimensions of a transition."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of one plan an episode, uniform in [0, 1).

    Attributes:
        actions: (episodes, horizon, action_dim, beam_width * n_expand).
        observations: (episodes, horizon - 1, observation_dim, beam_width).
    """

    actions: Tensor
    observations: Tensor


def draw(generators: list[np.random.Generator], settings: PlanSettings, decoder: Decoder) -> Draws:
    """Draw what one plan needs, each episode from its own stream, so that none depends on those beside it."""
    candidates = settings.beam_width * settings.n_expand
    actions = (settings.horizon, decoder.action_dim, candidates)
    observations = (settings.horizon - 1, decoder.observation_dim, settings.beam_width)
    pairs = [(each.random(actions, np.float32), each.random(observations, np.float32)) for each in generators]
    return Draws(*(torch.from_numpy(np.stack(each)).to(decoder.device) for each in zip(*pairs, strict=True)))


class Beams:
    """The sequences of a search, equally many an episode, and what the model makes of them.

    Args:
        decoder: the model.
        context: (episodes, time) int64, what came before; each episode starts with one sequence.
        horizon: transitions to be planned.

    Attributes:
        logits: (episodes * beams, bins + 1), of each sequence's next token.
        tokens: (episodes, beams, horizon * transition_dim) int64, plans, of which ``length`` tokens are decided.
        rewards: (episodes, beams, horizon + 1) float64, predicted rewards, and then the value of what follows.
    """

    def __init__(self, decoder: Decoder, context: Tensor, horizon: int) -> None:
        self._decoder = decoder
        self.logits, self._state = decoder.prefill(context)
        self.length = decoder.observation_dim
        self.tokens = context.new_zeros(len(context), 1, horizon * (self.length + decoder.action_dim + 2))
        self.tokens[:, :, : self.length] = context[:, None, -self.length :]
        self.rewards = torch.zeros(len(context), 1, horizon + 1, dtype=torch.float64, device=context.device)

    def expand(self, copies: int) -> None:
        """Make each sequence ``copies`` sequences."""
        self.logits, self._state = self.logits.repeat_interleave(copies, 0), self._state.expand(copies)
        self.tokens, self.rewards = (each.repeat_interleave(copies, 1) for each in (self.tokens, self.rewards))

    def write(self, tokens: Tensor) -> None:
        """Put down the next token of each sequence, (episodes * beams,), which the model is not shown yet."""
        self.tokens[:, :, self.length] = tokens.view(len(self.tokens), -1)
        self.length += 1

    def read(self) -> None:
        """Show the model the tokens last put down."""
        self.logits, self._state = self._decoder.step(self.tokens[:, :, self.length - 1].flatten(), self._state)

    def append(self, tokens: Tensor) -> None:
        """Put down the next token of each sequence and show the model."""
        self.write(tokens)
        self.read()

    def append_likeliest(self, count: int) -> None:
        """Put down the ``count`` likeliest tokens of each sequence, one after the other, and show the model."""
        tokens, self.logits, self._state = self._decoder.greedy(self.logits, self._state, count)
        self.tokens[:, :, self.length : self.length + count] = tokens.view(*self.tokens.shape[:2], count)
        self.length += count

    def predict(self, step: int, worth: Tensor) -> None:
        """Note what the model predicts, (episodes * beams,), as a reward ``step`` steps ahead."""
        self.rewards[:, :, step] = worth.view(len(self.rewards), -1)

    def keep_best(self, count: int, discount: float) -> None:
        """Keep the sequences with the highest discounted sums, the first among equals; ``logits`` are then stale."""
        discounts = discount ** torch.arange(self.rewards.shape[2], dtype=torch.float64, device=self.rewards.device)
        scores = (self.rewards * discounts).sum(dim=2)
        best = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :count]
        episodes = torch.arange(len(best), device=best.device)[:, None]
        self.tokens, self.rewards = self.tokens[episodes, best], self.rewards[episodes, best]
        self._state = self._state.select(best)


@torch.inference_mode()
def beam_plan(decoder: Decoder, values: BinValues, context: Tensor, settings: PlanSettings, draws: Draws) -> Tensor:
    """Find the best continuation of each episode.

    A sequence is worth its discounted predicted rewards plus the predicted value of what follows. Equals are ranked by
    their order, so that a plan is reproducible.

    Args:
        decoder: the model.
        values: what predicted rewards and values are worth.
        context: (episodes, time) int64, whole past transitions and the current observation; equally many an episode.
        settings: the search.
        draws: the random numbers.

    Returns:
        (episodes, horizon, transition_dim) int64; a plan's first transition holds the current observation.
    """
    beams = Beams(decoder, context, settings.horizon)
    beams.expand(settings.beam_width)
    for t in range(settings.horizon):
        beams.expand(settings.n_expand)
        for uniforms in draws.actions[:, t].unbind(1):
            beams.append(sample(beams.logits, uniforms.flatten(), k=settings.k_act, cdf=settings.cdf_act))
        beams.predict(t, values(beams.logits, REWARD))
        beams.append(greedy_token(beams.logits))
        beams.predict(t + 1, values(beams.logits, VALUE))
        beams.write(greedy_token(beams.logits))
        beams.keep_best(settings.beam_width, settings.discount)
        if t + 1 < settings.horizon:
            beams.read()
            if settings.k_obs == 1:
                beams.append_likeliest(decoder.observation_dim)
                continue
            for uniforms in draws.observations[:, t].unbind(1):
                beams.append(sample(beams.logits, uniforms.flatten(), k=settings.k_obs, cdf=settings.cdf_obs))
    return beams.tokens[:, 0].unflatten(1, (settings.horizon, -1))
