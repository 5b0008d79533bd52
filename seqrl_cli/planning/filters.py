"""Which tokens a search may sample, and how it samples them with given random numbers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.models.decoding.interface import greedy_token


def filter_cdf(logits: Tensor, cdf: float) -> Tensor:
    """Drop the least likely tokens, as the Trajectory Transformer's ``filter_cdf``.

    Probabilities are summed up from the least likely token. The last token at which the sum is below ``cdf`` is
    dropped, with all tokens that are at most as likely. So 0.6 keeps roughly the most likely 40 % of the probability:
    the complement of a nucleus of the same size. If no sum is below ``cdf``, the least likely tokens are dropped. The
    most likely ones always stay.

    Args:
        logits: (..., tokens).
        cdf: fraction of the probability to drop, in [0, 1].

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
    """Sort the last axis in ascending order; with NumPy on a CPU, which is twenty times as fast for short rows."""
    return torch.from_numpy(np.sort(x.numpy(), axis=-1)) if x.device.type == "cpu" else torch.sort(x, dim=-1).values


def filter_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the ``k`` most likely tokens and those that tie with the last of them; -inf elsewhere."""
    least = torch.topk(logits, min(k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -math.inf)


def sample(logits: Tensor, uniforms: Tensor, *, k: int | None = None, cdf: float | None = None) -> Tensor:
    """Sample one token per row from the filtered distribution by inverting its distribution function.

    ``k = 1`` takes the most likely token, the lowest one among equals, and ignores the random numbers. The stop token
    may be sampled like any other, as in the original; it decodes to the last bin.

    Args:
        logits: (rows, tokens).
        uniforms: (rows,) in [0, 1).
        k: number of most likely tokens to keep; None keeps all.
        cdf: fraction of the probability to drop, see :func:`filter_cdf`.

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
