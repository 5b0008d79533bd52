"""Sequences as levels of a prefix tree, so that each distinct prefix is encoded once.

Beams descend from few ancestors and decode observations greedily, so they share most of their recent past.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PrefixLevel:
    """A slice of the sequences with each distinct prefix once.

    Attributes:
        first: position of the slice's first token.
        tokens: (nodes, time) int64.
        parent: (nodes,) int64, the node of the previous level that each node continues.
    """

    first: int
    tokens: Tensor
    parent: Tensor

    def pieces(self, most: int) -> list[PrefixLevel]:
        """The same tokens as levels one below the other, of at most so many tokens each, as equal as possible."""
        count = -(-self.tokens.shape[1] // most)
        size = -(-self.tokens.shape[1] // count)
        parts = self.tokens.split(size, dim=1)
        itself = torch.arange(len(self.tokens), device=self.tokens.device)
        parents = [self.parent, *[itself] * (len(parts) - 1)]
        return [PrefixLevel(self.first + i * size, part, parents[i]) for i, part in enumerate(parts)]


def prefix_levels(tokens: Tensor, stride: int, shares: bool = True) -> tuple[list[PrefixLevel], Tensor]:
    """Split sequences every ``stride`` tokens and keep each distinct prefix once.

    Args:
        tokens: (rows, time) int64, time >= 1.
        stride: tokens per level; the last level may be shorter.
        shares: whether rows with equal prefixes share nodes.

    Returns:
        The levels, and the node of the last level at which each row ends, (rows,) int64.
    """
    node = tokens.new_zeros(len(tokens))
    levels = []
    for first in range(0, tokens.shape[1], stride):
        part = tokens[:, first : first + stride]
        if not shares:
            levels.append(PrefixLevel(first, part, node))
            node = torch.arange(len(tokens), device=tokens.device)
            continue
        distinct, node = torch.unique(torch.cat([node[:, None], part], dim=1), dim=0, return_inverse=True)
        levels.append(PrefixLevel(first, distinct[:, 1:], distinct[:, 0]))
    return levels, node
