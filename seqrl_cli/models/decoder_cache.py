"""A key/value cache that stores once what several rows share, and attention over it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Segment:
    """Keys and values of a stretch of the sequence, for groups of rows that share it.

    With R rows and G groups, row ``i`` sees group ``i // (R / G)``.

    Attributes:
        keys: (layers, groups, heads, head_dim, capacity) float32; transposed, because few queries meet many keys.
        values: (layers, groups, heads, capacity, head_dim) float32.
        length: columns in use.
    """

    keys: Tensor
    values: Tensor
    length: int = 0

    @classmethod
    def empty(cls, layers: int, groups: int, heads: int, head_dim: int, capacity: int, device: torch.device) -> Segment:
        """A segment without columns in use."""
        keys = torch.empty(layers, groups, heads, head_dim, capacity, device=device)
        return cls(keys, torch.empty(layers, groups, heads, capacity, head_dim, device=device))

    @property
    def groups(self) -> int:
        """Number of sets of rows."""
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        """Columns there is room for."""
        return self.keys.shape[4]

    def scores(self, layer: int, query: Tensor) -> Tensor:
        """Products of queries (rows, heads, head_dim) with all keys, (groups, rows / groups, heads, length)."""
        keys = self.keys[layer].flatten(0, 1)[:, :, : self.length]
        return self._split(torch.bmm(self._join(query), keys))

    def mix(self, layer: int, weights: Tensor) -> Tensor:
        """Sums of the values by weights (rows, heads, length), (rows, heads, head_dim)."""
        values = self.values[layer].flatten(0, 1)[:, : self.length]
        return self._split(torch.bmm(self._join(weights), values)).flatten(0, 1)

    def _join(self, rows: Tensor) -> Tensor:
        """(rows, heads, n) -> (groups * heads, rows / groups, n)."""
        return rows.unflatten(0, (self.groups, -1)).transpose(1, 2).flatten(0, 1)

    def _split(self, joined: Tensor) -> Tensor:
        """(groups * heads, rows / groups, n) -> (groups, rows / groups, heads, n)."""
        return joined.unflatten(0, (self.groups, -1)).transpose(1, 2)


def attend(segments: list[Segment], layer: int, query: Tensor) -> Tensor:
    """Attention of one query a row over all segments.

    Args:
        segments: the cache.
        layer: which layer's keys and values.
        query: (rows, heads, head_dim), already scaled.

    Returns:
        (rows, heads * head_dim).
    """
    rows, heads, _ = query.shape
    lengths = [segment.length for segment in segments]
    scores = query.new_empty(rows, heads, sum(lengths))
    for segment, part in zip(segments, scores.split(lengths, dim=2), strict=True):
        part.unflatten(0, (segment.groups, -1)).copy_(segment.scores(layer, query))
    weights = torch.softmax(scores, dim=2).split(lengths, dim=2)
    mixed = segments[0].mix(layer, weights[0])
    for segment, part in zip(segments[1:], weights[1:], strict=True):
        mixed = mixed + segment.mix(layer, part)
    return mixed.flatten(1)


def merge(segments: list[Segment], rows: Tensor, laid_out: int, spare: int) -> Segment:
    """One segment with a group for each chosen row, out of several that rows share.

    Args:
        segments: what to join, oldest first.
        rows: (kept,) int64, which rows to keep.
        laid_out: number of rows among which ``rows`` chooses.
        spare: columns to leave free.
    """
    layers, _, heads, head_dim, _ = segments[0].keys.shape
    length = sum(segment.length for segment in segments)
    merged = Segment.empty(layers, len(rows), heads, head_dim, length + spare, rows.device)
    for segment in segments:
        chosen = rows // (laid_out // segment.groups)
        columns = slice(merged.length, merged.length + segment.length)
        merged.keys[..., columns] = segment.keys[..., : segment.length].index_select(1, chosen)
        merged.values[..., columns, :] = segment.values[..., : segment.length, :].index_select(1, chosen)
        merged.length += segment.length
    return merged
