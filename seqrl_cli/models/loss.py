"""The weighted cross entropy of token models."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def target_weights(
    time: int,
    observation_dim: int,
    action_dim: int,
    *,
    action_weight: float = 5.0,
    reward_weight: float = 1.0,
    value_weight: float = 1.0,
) -> Tensor:
    """The weight of each target, for inputs that start with the first token of a transition.

    Args:
        time: tokens in the input; the target at position ``t`` is the token at ``t + 1``.
        observation_dim: numbers per observation, each with weight 1.
        action_dim: numbers per action.
        action_weight: weight of an action token.
        reward_weight: weight of a reward token.
        value_weight: weight of a value token.

    Returns:
        (time,) float32.
    """
    transition = [1.0] * observation_dim + [action_weight] * action_dim + [reward_weight, value_weight]
    repeats = time // len(transition) + 1
    return torch.tensor(transition).repeat(repeats)[1 : time + 1]


def token_loss(logits: Tensor, targets: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Mean of weight * mask * cross entropy over all tokens, including the masked ones.

    A target with logit -inf, such as stop for a model that cannot predict it, counts as masked.

    Args:
        logits: (batch, time, bins + 1), any float type; the sum is taken in float32, that of float64 in float64.
        targets: (batch, time) int64.
        mask: (batch, time) bool, false where a target is masked.
        weights: (time,) float, see ``target_weights``.

    Returns:
        A scalar.
    """
    cross_entropy = functional.cross_entropy(precise(logits).flatten(0, 1), targets.flatten(), reduction="none")
    cross_entropy = cross_entropy.masked_fill(cross_entropy == math.inf, 0.0)
    return (cross_entropy.view_as(targets) * weights * mask).mean()


def precise(numbers: Tensor) -> Tensor:
    """Numbers as float32, or as float64 if they are that: losses are not summed in bf16."""
    return numbers if numbers.dtype == torch.float64 else numbers.float()
