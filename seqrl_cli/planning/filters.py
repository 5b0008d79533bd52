"""Which tokens a search may sample, and sampling them by given random numbers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.models.decoding.interface import greedy_token


def filter_cdf(logits: Tensor, cdf: float) -> Tensor:
    """Drop the least likely tokens, as the Trajectory Transformer's ``filter_cdf``.

    Tokens are summed up from the least likely one; the last of them at which the sum is below ``cdf`` and all tokens no
    likelier than that one are dropped. So 0.6 keeps about the likeliest 40 % of the mass: the opposite share of a
    nucleus of the same size. The likeliest tokens always stay.

    Args:
        logits: (..., tokens).
        cdf: share of the mass to drop, in [0, 1].

    Returns:
        Logits of the same shape, -inf where dropped.
    """
    probabilities = torch.softmax(logits, dim=-1)
    ordered = ascending(probabilities)
    below = (torch.cumsum(ordered, dim=-1) < cdf).sum(dim=-1, keepdim=True)
    threshold = ordered.gather(-1, (below - 1).clamp(min=0))
    dropped = (probabilities <= threshold) & (probabilities < ordered[..., -1:])
    return logits.masked_fill(dropped, -math.inf)


def ascending(x: Tensor) -> Tensor:
    """The numbers of the last axis in ascending order; by NumPy on a CPU, twenty times as fast for short rows."""
    return torch.from_numpy(np.sort(x.numpy(), axis=-1)) if x.device.type == "cpu" else torch.sort(x, dim=-1).values


def filter_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the ``k`` likeliest tokens, and those that tie with the last of them; -inf elsewhere."""
    least = torch.topk(logits, min(k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -math.inf)


def sample(logits: Tensor, uniforms: Tensor, *, k: int | None = None, cdf: float | None = None) -> Tensor:
    """Draw one token a row from the filtered distribution, by inversion of its distribution function.

    ``k = 1`` takes the likeliest token, the lowest one among equals, and looks at no random number. The stop token may
    be drawn like any other, as in the original; it decodes to the last bin.

    Args:
        logits: (rows, tokens).
        uniforms: (rows,) in [0, 1).
        k: keep only so many of the likeliest tokens.
        cdf: drop this share of the mass, see :func:`filter_cdf`.

    Returns:
        (rows,) int64.
    """
    if k == 1:
        return greedy_token(logits)
    if cdf is not None:
        logits = filter_cdf(logits, cdf)
    if k is not None:
        logits = filter_top_k(logits, k)
    mass = torch.cumsum(torch.softmax(logits, dim=-1), dim=-1)
    return (mass <= uniforms[:, None].to(mass.dtype) * mass[:, -1:]).sum(dim=-1)
