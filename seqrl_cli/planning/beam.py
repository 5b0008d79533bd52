"""The beam search over trajectories, for several episodes at once (Janner et al. 2021, algorithm 1).

:func:`best_plans` is the search. For each transition of the plan it copies every beam ``n_expand`` times, samples
actions, predicts reward and value, keeps the ``beam_width`` best sequences, and samples the next observation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.models.decoding.interface import Decoder, greedy_token
from seqrl_cli.planning.filters import sample
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout

REWARD, VALUE = -2, -1
"""The last two dimensions of a transition."""


@dataclass(frozen=True)
class UniformNoise:
    """The random numbers of one plan per episode, uniform in [0, 1).

    Attributes:
        actions: (episodes, horizon, action_dim, beam_width * n_expand).
        observations: (episodes, horizon - 1, observation_dim, beam_width).
    """

    actions: Tensor
    observations: Tensor


def draw_noise(generators: list[np.random.Generator], settings: SearchSettings, decoder: Decoder) -> UniformNoise:
    """Draw what one plan needs from each episode's own generator, so that no episode depends on the others."""
    candidates = settings.beam_width * settings.n_expand
    action_shape = (settings.horizon, decoder.action_dim, candidates)
    observation_shape = (settings.horizon - 1, decoder.observation_dim, settings.beam_width)
    actions, observations = [], []
    for generator in generators:
        actions.append(generator.random(action_shape, np.float32))
        observations.append(generator.random(observation_shape, np.float32))
    return UniformNoise(
        torch.from_numpy(np.stack(actions)).to(decoder.device),
        torch.from_numpy(np.stack(observations)).to(decoder.device),
    )


class TimeLimit:
    """A time by which a search should end, counted from now.

    Args:
        seconds: the most seconds that the search may take.
        device: device of the search.
    """

    def __init__(self, seconds: float, device: torch.device) -> None:
        self._seconds = seconds
        self._device = device
        self._start = time.perf_counter()

    def allows(self, tokens: int, decoded: int) -> bool:
        """Whether so many more tokens are likely to be in time, at the speed of the ``decoded`` ones."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # what is only queued has taken no time yet
        elapsed = time.perf_counter() - self._start
        return elapsed * (decoded + tokens) <= self._seconds * decoded


class Beams:
    """The sequences of a search, the same number per episode, with the model's state and predictions.

    Args:
        decoder: the model.
        context: (episodes, time) int64, the known past; each episode starts with one sequence.
        horizon: transitions to plan.

    Attributes:
        logits: (episodes * beams, bins + 1), of each sequence's next token.
        tokens: (episodes, beams, horizon * transition_dim) int64; the first ``length`` tokens are decided.
        rewards: (episodes, beams, horizon + 1) float64, predicted rewards, then the predicted value of what follows.
    """

    def __init__(self, decoder: Decoder, context: Tensor, horizon: int) -> None:
        self._decoder = decoder
        self.logits, self._state = decoder.prefill(context)
        self.length = decoder.observation_dim
        self.tokens = context.new_zeros(len(context), 1, horizon * (self.length + decoder.action_dim + 2))
        self.tokens[:, :, : self.length] = context[:, None, -self.length :]
        self.rewards = torch.zeros(len(context), 1, horizon + 1, dtype=torch.float64, device=context.device)

    def expand(self, copies: int) -> None:
        """Replace each sequence by ``copies`` copies of itself."""
        self.logits = self.logits.repeat_interleave(copies, 0)
        self._state = self._state.expand(copies)
        self.tokens = self.tokens.repeat_interleave(copies, 1)
        self.rewards = self.rewards.repeat_interleave(copies, 1)

    def write(self, tokens: Tensor) -> None:
        """Write the next token of each sequence, (episodes * beams,), without feeding it to the model."""
        self.tokens[:, :, self.length] = tokens.view(len(self.tokens), -1)
        self.length += 1

    def feed(self) -> None:
        """Feed the tokens written last to the model."""
        self.logits, self._state = self._decoder.step(self.tokens[:, :, self.length - 1].flatten(), self._state)

    def append(self, tokens: Tensor) -> None:
        """Write the next token of each sequence and feed it to the model."""
        self.write(tokens)
        self.feed()

    def append_greedy(self, count: int) -> None:
        """Append the most likely token of each sequence, ``count`` times."""
        tokens, self.logits, self._state = self._decoder.greedy(self.logits, self._state, count)
        self.tokens[:, :, self.length : self.length + count] = tokens.view(*self.tokens.shape[:2], count)
        self.length += count

    def earn(self, step: int, predicted: Tensor) -> None:
        """Set what is earned ``step`` steps ahead, (episodes * beams,): a reward, or the value of all that follows."""
        self.rewards[:, :, step] = predicted.view(len(self.rewards), -1)

    def keep_best(self, count: int, discount: float) -> None:
        """Keep the ``count`` sequences with the highest discounted sums; ``logits`` are stale afterwards.

        Of equal sums the first sequence wins, so that a plan is reproducible.
        """
        discounts = discount ** torch.arange(self.rewards.shape[2], dtype=torch.float64, device=self.rewards.device)
        scores = (self.rewards * discounts).sum(dim=2)
        best = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :count]
        episodes = torch.arange(len(best), device=best.device)[:, None]
        self.tokens = self.tokens[episodes, best]
        self.rewards = self.rewards[episodes, best]
        self._state = self._state.select(best)


def beam_plan(
    decoder: Decoder,
    readout: ValueReadout,
    context: Tensor,
    settings: SearchSettings,
    noise: UniformNoise,
    choices: int | None = None,
    limit: TimeLimit | None = None,
) -> Tensor:
    """The best plan of each episode, (episodes, planned, transition_dim); otherwise as :func:`best_plans`."""
    return best_plans(decoder, readout, context, settings, noise, choices, limit)[:, 0]


@torch.inference_mode()
def best_plans(
    decoder: Decoder,
    readout: ValueReadout,
    context: Tensor,
    settings: SearchSettings,
    noise: UniformNoise,
    choices: int | None = None,
    limit: TimeLimit | None = None,
) -> Tensor:
    """Find the best continuations of each episode.

    A sequence scores its discounted predicted rewards plus the predicted value of what follows.

    Args:
        decoder: the model.
        readout: turns predicted distributions over rewards and values into numbers.
        context: (episodes, time) int64, whole past transitions and the current observation; all episodes have the same
            number of transitions.
        settings: the search.
        noise: the random numbers.
        choices: number of discrete actions, the first tokens, of which alone actions are sampled; None if actions are
            continuous.
        limit: ends the search early, but not before it has the ``plan_freq`` transitions that will be executed.

    Returns:
        (episodes, elites, planned, transition_dim) int64, best first, and at most as many plans as beams. A plan has as
        many transitions as the horizon, or fewer if the time limit ended the search; the first contains the current
        observation.
    """
    beams = Beams(decoder, context, settings.horizon)
    beams.expand(settings.beam_width)
    for t in range(settings.horizon):
        beams.expand(settings.n_expand)
        for uniforms in noise.actions[:, t].unbind(1):
            logits = beams.logits[:, :choices]
            beams.append(sample(logits, uniforms.flatten(), k=settings.k_act, cdf=settings.cdf_act))
        beams.earn(t, readout(beams.logits, REWARD))
        beams.append(greedy_token(beams.logits))
        beams.earn(t + 1, readout(beams.logits, VALUE))
        beams.write(greedy_token(beams.logits))
        beams.keep_best(settings.beam_width, settings.discount)
        if t + 1 == settings.horizon:
            break
        decoded = beams.length - decoder.observation_dim  # the first observation was known
        if limit and t + 1 >= settings.plan_freq and not limit.allows(beams.length // (t + 1), decoded):
            break
        beams.feed()
        if settings.k_obs == 1:
            beams.append_greedy(decoder.observation_dim)
            continue
        for uniforms in noise.observations[:, t].unbind(1):
            beams.append(sample(beams.logits, uniforms.flatten(), k=settings.k_obs, cdf=settings.cdf_obs))
    return beams.tokens[:, : settings.elites, : beams.length].unflatten(2, (t + 1, -1))
