"""Masked attention, with the faster of two equal forms for training on a CPU and for everything else."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.models.dropout import keep_mask, keep_scale


def masked_attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention over the keys that each query may see (Vaswani et al. 2017, equation 1).

    Args:
        query: (batch, heads, queries, head_dim).
        key: (batch, heads, keys, head_dim).
        value: (batch, heads, keys, head_dim).
        visible: (queries, keys) bool, at least one key a query.
        dropout: share of attention weights to drop.

    Returns:
        (batch, heads, queries, head_dim).
    """
    if query.is_cpu and (dropout > 0 or query.dtype == torch.bfloat16):
        return _explicit_attention(query, key, value, visible, dropout)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=dropout)


def _explicit_attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, dropout: float) -> Tensor:
    """The same, written out, where PyTorch's CPU kernel is slower than its parts.

    It has no dropout and falls back to a path half as fast as this; in bfloat16 its gradients take four times as long.
    """
    batch, heads, queries, head_dim = query.shape
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    hidden = torch.zeros(visible.shape, dtype=query.dtype).masked_fill_(~visible, -math.inf)
    scores = torch.baddbmm(hidden.unsqueeze(0), query, key.transpose(1, 2), alpha=head_dim**-0.5)
    weights = torch.softmax(scores, dim=-1)
    if dropout > 0:
        # the values carry the scale of the kept weights: they are fewer
        weights, value = weights * keep_mask(weights, dropout), value * keep_scale(dropout)
    mixed = torch.bmm(weights, value)
    return mixed.view(batch, heads, queries, head_dim)
