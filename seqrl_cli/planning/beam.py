"""Beam search over trajectories, for several episodes at once (Janner et al. 2021, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.models.decoder import Decoder
from seqrl_cli.planning.filters import likeliest, sample
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.planning.values import BinValues


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
    observation_dim, action_dim, horizon = decoder.observation_dim, decoder.action_dim, settings.horizon
    reward, value = observation_dim + action_dim, observation_dim + action_dim + 1
    episodes = torch.arange(len(context), device=context.device)[:, None]
    discounts = settings.discount ** torch.arange(horizon + 1, dtype=torch.float64, device=context.device)

    logits, state = decoder.prefill(context)
    logits, state = logits.repeat_interleave(settings.beam_width, 0), state.expand(settings.beam_width)
    plans = context.new_zeros(len(context), settings.beam_width, horizon, value + 1)
    plans[:, :, 0, :observation_dim] = context[:, None, -observation_dim:]
    rewards = discounts.new_zeros(len(context), settings.beam_width, horizon + 1)

    for t in range(horizon):
        logits, state = logits.repeat_interleave(settings.n_expand, 0), state.expand(settings.n_expand)
        plans, rewards = plans.repeat_interleave(settings.n_expand, 1), rewards.repeat_interleave(settings.n_expand, 1)

        for i in range(action_dim):
            tokens = sample(logits, draws.actions[:, t, i].flatten(), k=settings.k_act, cdf=settings.cdf_act)
            plans[:, :, t, observation_dim + i] = tokens.view(len(context), -1)
            logits, state = decoder.step(tokens, state)

        rewards[:, :, t] = values(logits, reward).view(len(context), -1)
        tokens = likeliest(logits)
        plans[:, :, t, reward] = tokens.view(len(context), -1)
        logits, state = decoder.step(tokens, state)

        rewards[:, :, t + 1] = values(logits, value).view(len(context), -1)
        plans[:, :, t, value] = likeliest(logits).view(len(context), -1)

        scores = (rewards * discounts).sum(dim=2)
        best = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, : settings.beam_width]
        plans, rewards = plans[episodes, best], rewards[episodes, best]
        if t + 1 == horizon:
            break

        state = state.select(best)
        logits, state = decoder.step(plans[:, :, t, value].flatten(), state)
        for i in range(observation_dim):
            tokens = sample(logits, draws.observations[:, t, i].flatten(), k=settings.k_obs, cdf=settings.cdf_obs)
            plans[:, :, t + 1, i] = tokens.view(len(context), -1)
            logits, state = decoder.step(tokens, state)
    return plans[:, 0]
