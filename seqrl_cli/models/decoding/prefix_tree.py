"""Sequences that begin alike, as levels of a prefix tree, so that each distinct beginning is encoded once.

Beams of a search descend from few ancestors and decode observations greedily, so most of their recent past is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """One stretch of the sequences, each distinct one once.

    Attributes:
        first: position of the stretch's first token.
        tokens: (nodes, time) int64.
        parent: (nodes,) int64, the node of the level before that each node continues.
    """

    first: int
    tokens: Tensor
    parent: Tensor


def prefix_levels(tokens: Tensor, stride: int, shares: bool = True) -> tuple[list[Level], Tensor]:
    """Split sequences every ``stride`` tokens and keep each distinct beginning once.

    Args:
        tokens: (rows, time) int64, time >= 1.
        stride: tokens a level; the last level may be shorter.
        shares: whether to look for equal beginnings; without, every row has nodes of its own.

    Returns:
        The levels, and the node of the last level at which each row ends, (rows,) int64.
    """
    node = tokens.new_zeros(len(tokens))
    levels = []
    for first in range(0, tokens.shape[1], stride):
        stretch = tokens[:, first : first + stride]
        if not shares:
            levels.append(Level(first, stretch, node))
            node = torch.arange(len(tokens), device=tokens.device)
            continue
        distinct, node = torch.unique(torch.cat([node[:, None], stretch], dim=1), dim=0, return_inverse=True)
        levels.append(Level(first, distinct[:, 1:], distinct[:, 0]))
    return levels, node
