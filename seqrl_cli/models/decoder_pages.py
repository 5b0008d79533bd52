"""A paged key/value cache: what has been decoded is stored once, and each row lists the pages it has seen.

A page holds the keys and values of one transition. Beams of a search descend from few ancestors, so their lists share
most pages; to reorder beams, only the lists move. Attention over scattered pages is two calls of ``embedding_bag``,
which sums weighted rows of a table picked by index, in one pass and without gathering them first:

- the scores of one head and page are the page's key components, (head_dim, columns), summed with the query as weights;
- the output of one head is the values of all pages, (columns, head_dim), summed with the attention as weights.

What all rows of a group share for good, an episode's context, is its trunk: a matrix product for all rows at once.

Each bag is summed on its own and in order, and the products of one group have the same shape whatever the other groups,
so a row's result does not depend on the groups beside its own, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Trunk:
    """Keys and values that all rows of a group share.

    Attributes:
        keys: (layers, groups, heads, head_dim, time) float32.
        values: (layers, groups, heads, time, head_dim) float32.
    """

    keys: Tensor
    values: Tensor

    @property
    def length(self) -> int:
        """Tokens of it."""
        return self.keys.shape[4]

    def score(self, layer: int, query: Tensor) -> Tensor:
        """Products of queries (rows, heads, head_dim) with all keys, (rows, heads, time)."""
        return _by_group(query, self.keys[layer])

    def mix(self, layer: int, weights: Tensor) -> Tensor:
        """Sum of the values weighted by (rows, heads, time): (rows, heads, head_dim)."""
        return _by_group(weights, self.values[layer])


def _by_group(rows: Tensor, matrices: Tensor) -> Tensor:
    """Products of (rows, heads, n) with their group's matrices, (groups, heads, n, m): (rows, heads, m).

    The result is written heads first, which batched products do at once and other layouts a head at a time.
    """
    groups, heads, _, width = matrices.shape
    products = rows.new_empty(groups, heads, len(rows) // groups, width)
    for part, each, out in zip(rows.chunk(groups), matrices, products, strict=True):
        torch.bmm(part.transpose(0, 1), each, out=out)
    return products.transpose(1, 2).flatten(0, 1)


@dataclass
class View:
    """Where the keys and values of some rows lie.

    Attributes:
        pages: pages a row, the open one included.
        key_index: (rows * heads * pages * head_dim,) int32, rows of the key table, a bag a head and page.
        key_offsets: (rows * heads * pages,) int32, where each bag starts.
        value_index: (rows * heads, pages * columns) int32, rows of the value table, a bag a head.
    """

    pages: int
    key_index: Tensor
    key_offsets: Tensor
    value_index: Tensor

    def up_to(self, length: int) -> Past:
        """The oldest ``length`` columns of it."""
        index = self.value_index[:, :length].flatten()
        bags = torch.arange(len(self.value_index), dtype=torch.int32, device=index.device)
        return Past(self, length, index, bags * length)


@dataclass
class Past:
    """The part of a view that is in use.

    Attributes:
        view: where everything lies.
        length: columns in use.
        value_index: (rows * heads * length,) int32, rows of the value table, a bag a head.
        value_offsets: (rows * heads,) int32, where each bag starts.
    """

    view: View
    length: int
    value_index: Tensor
    value_offsets: Tensor


class Pages:
    """Keys and values of all layers.

    The first pages are open, one a row, and take the tokens of the transition that is being decoded; the others are
    closed and never change.

    Args:
        layers: layers of the model.
        heads: attention heads.
        head_dim: width of a head.
        columns: tokens a page.
        device: where to keep them.
    """

    def __init__(self, layers: int, heads: int, head_dim: int, columns: int, device: torch.device) -> None:
        self.heads, self.head_dim, self.columns = heads, head_dim, columns
        self.rows, self.closed = 0, 0
        self.keys = torch.empty(layers, 0, heads, head_dim, columns, device=device)
        self.values = torch.empty(layers, 0, columns, heads, head_dim, device=device)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.keys.nbytes + self.values.nbytes

    def clear(self) -> None:
        """Forget all closed pages; their memory is kept for later ones."""
        self.closed = 0

    def reserve(self, rows: int, closed: int) -> None:
        """Make room for so many open pages and so many more closed ones."""
        needed = max(rows, self.rows) + self.closed + closed
        if rows <= self.rows and needed <= self.keys.shape[1]:
            return
        old_keys, old_values, old_rows = self.keys, self.values, self.rows
        self.rows = max(rows, self.rows)
        capacity = needed + self.closed  # room to grow, so that pages move seldom
        self.keys = old_keys.new_empty(old_keys.shape[0], capacity, *old_keys.shape[2:])
        self.values = old_values.new_empty(old_values.shape[0], capacity, *old_values.shape[2:])
        for old, new in ((old_keys, self.keys), (old_values, self.values)):
            new[:, :old_rows] = old[:, :old_rows]
            new[:, self.rows : self.rows + self.closed] = old[:, old_rows : old_rows + self.closed]

    def append(self, count: int) -> slice:
        """Take ``count`` closed pages, room for which has been reserved; returns where they are."""
        first = self.rows + self.closed
        assert first + count <= self.keys.shape[1]
        self.closed += count
        return slice(first, first + count)

    def reorder(self, origin: Tensor) -> None:
        """Open page i becomes a copy of open page ``origin[i]``."""
        self.reserve(len(origin), 0)
        for layer in (*self.keys, *self.values):
            layer[: len(origin)] = layer[: self.rows].index_select(0, origin)

    def close(self, origin: Tensor) -> Tensor:
        """Copy open pages ``origin`` (rows,) to new closed ones; returns their numbers (rows,) among the closed."""
        self.reserve(0, len(origin))
        first = self.closed
        place = self.append(len(origin))
        for layer in (*self.keys, *self.values):
            torch.index_select(layer[: self.rows], 0, origin, out=layer[place])
        return torch.arange(first, self.closed, device=origin.device)

    def view(self, table: Tensor) -> View:
        """Where rows with closed pages ``table`` (rows, pages), oldest first, and their open page find everything."""
        rows, device = len(table), table.device
        own = torch.arange(rows, device=device)[:, None]
        pages = torch.cat([table + self.rows, own], dim=1).int()
        heads, columns, components = (
            torch.arange(count, dtype=torch.int32, device=device) for count in (self.heads, self.columns, self.head_dim)
        )
        bags = pages[:, None, :] * self.heads + heads[:, None]
        key_index = (bags[..., None] * self.head_dim + components).flatten()
        tokens = (pages[:, :, None] * self.columns + columns).flatten(1)
        value_index = (tokens[:, None, :] * self.heads + heads[:, None]).flatten(0, 1)
        offsets = torch.arange(0, len(key_index), self.head_dim, dtype=torch.int32, device=device)
        return View(pages.shape[1], key_index, offsets, value_index)

    def write(self, layer: int, column: int, key: Tensor, value: Tensor) -> None:
        """Store one token's keys and values, (rows, heads, head_dim), in the rows' open pages."""
        self.keys[layer, : len(key), :, :, column] = key
        self.values[layer, : len(value), column] = value

    def to_trunk(self, table: Tensor) -> Trunk:
        """Turn the closed pages ``table`` (groups, pages) into a trunk; all closed pages are given up."""
        chosen = (table + self.rows).flatten()
        keys = self.keys[:, chosen].unflatten(1, table.shape).permute(0, 1, 3, 4, 2, 5).flatten(4)
        values = self.values[:, chosen].unflatten(1, table.shape).permute(0, 1, 4, 2, 3, 5).flatten(3, 4)
        self.clear()
        return Trunk(keys.contiguous(), values.contiguous())

    def attend(self, layer: int, query: Tensor, past: Past, trunk: Trunk | None) -> Tensor:
        """Attention of one query a row to the trunk and to its pages.

        Args:
            layer: which layer's keys and values.
            query: (rows, heads, head_dim), already scaled.
            past: the pages.
            trunk: what comes before them.

        Returns:
            (rows, heads * head_dim).
        """
        ahead = trunk.length if trunk else 0
        scores = self._scores(layer, query, past)
        if trunk is not None:
            scores = torch.cat([trunk.score(layer, query), scores], dim=2)
        weights = torch.softmax(scores, dim=2)
        values = self.values[layer].view(-1, self.head_dim)
        mixed = _bags(values, past.value_index, past.value_offsets, weights[:, :, ahead:].flatten()).view(query.shape)
        if trunk is not None:
            mixed += trunk.mix(layer, weights[:, :, :ahead])
        return mixed.flatten(1)

    def _scores(self, layer: int, query: Tensor, past: Past) -> Tensor:
        """Products of queries (rows, heads, head_dim) with the keys of their pages, (rows, heads, length)."""
        view = past.view
        repeated = query[:, :, None].expand(-1, -1, view.pages, -1).flatten()
        scores = _bags(self.keys[layer].view(-1, self.columns), view.key_index, view.key_offsets, repeated)
        return scores.view(*query.shape[:2], -1)[:, :, : past.length]


def _bags(table: Tensor, index: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows of a table (count, width): (bags, width)."""
    sums: Tensor = torch.embedding_bag(table, index, offsets, False, 0, False, weights)[0]
    return sums
