"""The planner without any of its speed: one episode, one beam at a time, everything encoded again for every token."""

from __future__ import annotations

import numpy as np
import torch

from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.planning.settings import SearchSettings


def naive_plan(
    model: GPT,
    midpoints: np.ndarray,
    context: list[int],
    settings: SearchSettings,
    action_noise: np.ndarray,
    observation_noise: np.ndarray,
) -> np.ndarray:
    """Beam search as the paper writes it; noise as in ``UniformNoise``, without the axis of episodes."""
    transition_dim, reward_dim = model.transition_dim, model.transition_dim - 2
    view = Window(settings.max_context_transitions)
    context = context[view.overflow(len(context), transition_dim) :]

    def distribution(tokens: list[int]) -> np.ndarray:
        cut = view.overflow(len(tokens), transition_dim) if settings.window == "sliding" else 0
        with torch.no_grad():
            return torch.softmax(model(torch.tensor([tokens[cut:]]))[0, -1].double(), 0).numpy()

    beams: list[tuple[list[int], list[float], float]] = [(context, [], 0.0)] * settings.beam_width
    for t in range(settings.horizon):
        candidates = []
        for number in range(settings.beam_width * settings.n_expand):
            tokens, rewards, _ = beams[number // settings.n_expand]
            tokens = list(tokens)
            for i in range(model.action_dim):
                mass = distribution(tokens)
                tokens.append(draw_token(mass, action_noise[t, i, number], settings.k_act, settings.cdf_act))
            outcomes = []
            for dim in (reward_dim, reward_dim + 1):
                mass = distribution(tokens)
                outcomes.append(expected(mass, midpoints[:, dim], settings.percentile))
                tokens.append(int(mass.argmax()))
            rewards = [*rewards, outcomes[0]]
            returns = [*rewards, outcomes[1]]
            candidates.append((tokens, rewards, sum(settings.discount**i * r for i, r in enumerate(returns))))
        beams = sorted(candidates, key=lambda each: -each[2])[: settings.beam_width]
        if t + 1 < settings.horizon:
            for number, (tokens, _, _) in enumerate(beams):
                for i in range(model.observation_dim):
                    mass = distribution(tokens)
                    drawn = draw_token(mass, observation_noise[t, i, number], settings.k_obs, settings.cdf_obs)
                    tokens.append(drawn)
    best = beams[0][0]
    planned = [*best[len(context) - model.observation_dim :]]
    return np.array(planned).reshape(settings.horizon, transition_dim)


def draw_token(mass: np.ndarray, uniform: float, k: int | None, cdf: float | None) -> int:
    """Inverse of the distribution function over the tokens that stay."""
    if k == 1:
        return int(mass.argmax())
    kept = mass.copy()
    if cdf is not None:
        rising = np.sort(mass)
        summed, last = 0.0, rising[0]
        for each in rising:
            summed += each
            if summed >= cdf:
                break
            last = each
        kept[(mass <= last) & (mass < mass.max())] = 0.0
    if k is not None:
        kept[kept < np.sort(kept)[-k]] = 0.0
    summed = 0.0
    for token, each in enumerate(kept):
        summed += each
        if summed > uniform * kept.sum():
            return token
    return int(kept.nonzero()[0][-1])


def expected(mass: np.ndarray, midpoints: np.ndarray, percentile: str | float) -> float:
    """Mean, or the first value, going up, at which the summed mass reaches the percentile; stopping is worth 0."""
    outcomes = list(zip([*midpoints, 0.0], mass, strict=True))
    if percentile == "mean":
        return float(sum(v * p for v, p in outcomes))
    summed = 0.0
    for v, p in sorted(outcomes, key=lambda outcome: outcome[0]):
        summed += p
        if summed >= float(percentile):
            return float(v)
    return float(max(midpoints.max(), 0.0))
