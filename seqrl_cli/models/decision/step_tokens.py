"""The tokens of a step, and which of them see each other: state, return-to-go, K actions, reward."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

BEFORE_ACTIONS = 2  # tokens of a step before its actions: state and return-to-go


@lru_cache(maxsize=64)
def visible_tokens(time: int, action_dim: int, hide_actions: bool, device: torch.device) -> Tensor:
    """What each token may see: the tokens before it; if actions are hidden, only those actions of its own step.

    A reward sees no action then, because what it has seen would show later steps the action.

    Returns:
        (time * (K + 3), time * (K + 3)) bool, queries by keys.
    """
    length = action_dim + BEFORE_ACTIONS + 1
    order = torch.arange(time * length, device=device)
    causal = order[:, None] >= order[None, :]
    if not hide_actions:
        return causal
    step, place = order // length, order % length
    is_action = (place >= BEFORE_ACTIONS) & (place < BEFORE_ACTIONS + action_dim)
    of_own_step = (step[:, None] == step[None, :]) & is_action[:, None]
    return causal & (~is_action[None, :] | of_own_step)


@lru_cache(maxsize=64)
def hidden_tokens(length: int, device: torch.device) -> Tensor:
    """What is added to attention, (length, length): minus infinity at later tokens."""
    return torch.full((length, length), -torch.inf, device=device).triu(1)
