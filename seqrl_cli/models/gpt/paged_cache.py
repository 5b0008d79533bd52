"""A paged key/value cache: what has been decoded is stored once, and each row lists the pages it has seen.

A page holds the keys and values of one transition. Beams of a search descend from few ancestors, so their lists share
most pages; to reorder beams, only the lists move. Attention over scattered pages is two calls of ``embedding_bag``,
which sums weighted rows of a table picked by index, in one pass and without gathering them first:

- the scores of one head and page are the page's key components, (head_dim, columns), summed with the query as weights;
- the output of one head is the values of all pages, (columns, head_dim), summed with the attention as weights.

So a closed page, which never changes again, holds its keys by component. An open page holds them by column, as they
come: to spread one token's keys over all components would touch a cache line for each number.

What all rows of a group share for good, an episode's context, is its shared prefix: one product takes its keys to
all rows.

Each bag is summed on its own and in order, and the products of one group have the same shape whatever the other groups,
so a row's result does not depend on the groups beside its own, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.model import GPT


@dataclass(frozen=True)
class SharedPrefix:
    """What all rows of a group have seen first.

    Attributes:
        block_table: (groups, pages) int64, closed pages, which hold the values.
        keys: (layers, groups, heads, head_dim, time) float32, their keys.
    """

    block_table: Tensor
    keys: Tensor

    def score(self, layer: int, query: Tensor) -> Tensor:
        """Products of queries (rows, heads, head_dim) with all keys, (rows, heads, time)."""
        groups, heads, _, time = self.keys.shape[1:]
        products = query.new_empty(groups, heads, len(query) // groups, time)
        for part, keys, out in zip(query.chunk(groups), self.keys[layer], products, strict=True):
            torch.bmm(part.transpose(0, 1), keys, out=out)  # written heads first, as batched products do at once
        return products.transpose(1, 2).flatten(0, 1)


@dataclass(frozen=True)
class CacheView:
    """Where the keys and values of some rows lie.

    Attributes:
        shared_prefix: what the rows' groups have seen first, if anything is kept apart.
        closed: closed pages a row has seen after it.
        known: tokens in shared prefix and closed pages.
        key_index: (rows * heads * closed * head_dim,) int32, rows of the key table, a bag a head and page.
        key_offsets: (rows * heads * closed,) int32, where each bag starts.
        value_index: (rows * heads, known + columns) int32, rows of the value table, a bag a head.
    """

    shared_prefix: SharedPrefix | None
    closed: int
    known: int
    key_index: Tensor
    key_offsets: Tensor
    value_index: Tensor

    def up_to(self, filled: int) -> CacheSlice:
        """Everything, but only the first ``filled`` columns of the open page."""
        index = self.value_index[:, : self.known + filled].flatten()
        offsets = torch.arange(0, len(index), self.known + filled, dtype=torch.int32, device=index.device)
        return CacheSlice(self, filled, index, offsets)


@dataclass(frozen=True)
class CacheSlice:
    """The part of a view that is in use.

    Attributes:
        view: where everything lies.
        filled: columns of the open page in use.
        value_index: (rows * heads * length,) int32, rows of the value table, a bag a head.
        value_offsets: (rows * heads,) int32, where each bag starts.
    """

    view: CacheView
    filled: int
    value_index: Tensor
    value_offsets: Tensor


class PagedCache:
    """Keys and values of all layers.

    The first pages are open, one a row, and take the tokens of the transition that is being decoded; the others are
    closed and never change.

    Args:
        layers: layers of the model.
        heads: attention heads.
        head_dim: width of a head.
        columns: tokens a page.
        device: where to keep them.

    Attributes:
        rows: open pages.
        closed: closed pages in use.
        memory: (layers, pages, 2, heads * columns * head_dim) float32; of each page first its keys, (heads, columns,
            head_dim) while it is open and (heads, head_dim, columns) when it is closed, then its values, (heads,
            columns, head_dim).
    """

    def __init__(self, layers: int, heads: int, head_dim: int, columns: int, device: torch.device) -> None:
        self.heads, self.head_dim, self.columns = heads, head_dim, columns
        self.rows, self.closed = 0, 0
        self.memory = torch.empty(layers, 0, 2, heads * columns * head_dim, device=device)

    def clear(self) -> None:
        """Forget all closed pages; their memory is kept for later ones."""
        self.closed = 0

    def reserve(self, rows: int, closed: int) -> None:
        """Make room for so many open pages and so many more closed ones."""
        needed = max(rows, self.rows) + self.closed + closed
        if rows <= self.rows and needed <= self.memory.shape[1]:
            return
        old, old_rows = self.memory, self.rows
        self.rows = max(rows, self.rows)
        # room to grow, so that pages move seldom
        self.memory = old.new_empty(len(old), needed + self.closed, *old.shape[2:])
        self.memory[:, :old_rows] = old[:, :old_rows]
        self.memory[:, self.rows : self.rows + self.closed] = old[:, old_rows : old_rows + self.closed]

    def fill(self, layer: int, pages: slice, keys: Tensor, values: Tensor) -> None:
        """Store keys and values (pages, heads, time, head_dim) as the first columns of open pages."""
        by_column = self._by_column(layer, pages)
        by_column[:, 0, :, : keys.shape[2]] = keys
        by_column[:, 1, :, : keys.shape[2]] = values

    def fill_closed(self, layer: int, pages: slice, keys: Tensor, values: Tensor) -> None:
        """Store keys and values (pages, heads, columns, head_dim) as closed pages."""
        self._by_component(layer, pages)[:] = keys.transpose(2, 3)
        self._by_column(layer, pages)[:, 1] = values

    def append(self, count: int) -> slice:
        """Take ``count`` closed pages, room for which has been reserved; returns where they are."""
        first = self.rows + self.closed
        assert first + count <= self.memory.shape[1]
        self.closed += count
        return slice(first, first + count)

    def reorder(self, origin: Tensor, filled: int) -> None:
        """Open page i becomes a copy of open page ``origin[i]``, its first ``filled`` columns."""
        self.reserve(len(origin), 0)
        for layer in range(len(self.memory)):
            used = self._by_column(layer, slice(self.rows))[:, :, :, :filled]
            used[: len(origin)] = used.index_select(0, origin)

    def close(self, origin: Tensor) -> Tensor:
        """Copy full open pages ``origin`` (rows,) to new closed ones; their numbers (rows,) among the closed."""
        self.reserve(0, len(origin))
        first = self.closed
        place = self.append(len(origin))
        for layer in range(len(self.memory)):
            keys, values = self._by_column(layer, slice(self.rows)).index_select(0, origin).unbind(1)
            self.fill_closed(layer, place, keys, values)
        return torch.arange(first, self.closed, device=origin.device)

    def view(self, block_table: Tensor, shared_prefix: SharedPrefix | None) -> CacheView:
        """Where rows find what they have seen.

        Args:
            block_table: (rows, pages), the closed pages of each row; its open page follows on them.
            shared_prefix: what comes before them, if anything.
        """
        rows, device = len(block_table), block_table.device
        heads, columns, components = (
            torch.arange(count, dtype=torch.int32, device=device) for count in (self.heads, self.columns, self.head_dim)
        )
        closed, own = (block_table + self.rows).int(), torch.arange(rows, dtype=torch.int32, device=device)[:, None]
        bags = closed[:, None] * (2 * self.heads) + heads[:, None]
        key_index = (bags[..., None] * self.head_dim + components).flatten()
        key_offsets = torch.arange(0, len(key_index), self.head_dim, dtype=torch.int32, device=device)
        pages = [closed, own]
        if shared_prefix is not None:
            shared = (shared_prefix.block_table + self.rows).int()
            pages = [shared.repeat_interleave(rows // len(shared), 0), *pages]
        every = torch.cat(pages, dim=1)[:, None]
        tokens = ((every * 2 + 1) * self.heads + heads[:, None])[..., None] * self.columns + columns
        known = (every.shape[2] - 1) * self.columns
        return CacheView(
            shared_prefix, block_table.shape[1], known, key_index, key_offsets, tokens.flatten(2).flatten(0, 1)
        )

    def write(self, layer: int, column: int, both: Tensor) -> None:
        """Store one token's keys and values, (rows, 2, heads, head_dim), in the rows' open pages."""
        self._by_column(layer, slice(len(both)))[:, :, :, column] = both

    def to_shared_prefix(self, block_table: Tensor) -> SharedPrefix:
        """The closed pages ``block_table`` (groups, pages) as a shared prefix."""
        chosen = self.memory[:, (block_table + self.rows).flatten(), 0]
        keys = chosen.view(len(chosen), *block_table.shape, self.heads, self.head_dim, self.columns)
        return SharedPrefix(block_table, keys.permute(0, 1, 3, 4, 2, 5).flatten(4).contiguous())

    def attend(self, layer: int, query: Tensor, past: CacheSlice) -> Tensor:
        """Attention of one query a row to all that the row has seen.

        Args:
            layer: which layer's keys and values.
            query: (rows, heads, head_dim), already scaled.
            past: where they lie.

        Returns:
            (rows, heads * head_dim).
        """
        view, scores = past.view, []
        if view.shared_prefix is not None:
            scores.append(view.shared_prefix.score(layer, query))
        if view.closed:
            scores.append(self._closed_scores(layer, query, view))
        if past.filled:
            keys = self._by_column(layer, slice(len(query)))[:, 0, :, : past.filled]
            scores.append(torch.matmul(keys, query[..., None]).squeeze(3))
        weights = torch.softmax(torch.cat(scores, dim=2), dim=2)
        table = self.memory[layer].view(-1, self.head_dim)
        return _bags(table, past.value_index, past.value_offsets, weights.flatten()).view(len(query), -1)

    def _closed_scores(self, layer: int, query: Tensor, view: CacheView) -> Tensor:
        """Products of queries (rows, heads, head_dim) with the keys of their closed pages, (rows, heads, length)."""
        repeated = query[:, :, None].expand(-1, -1, view.closed, -1).flatten()
        table = self.memory[layer].view(-1, self.columns)
        return _bags(table, view.key_index, view.key_offsets, repeated).view(*query.shape[:2], -1)

    def _by_column(self, layer: int, pages: slice) -> Tensor:
        """Keys and values of open pages, (pages, 2, heads, columns, head_dim); of closed ones, only the values."""
        return self.memory[layer, pages].view(-1, 2, self.heads, self.columns, self.head_dim)

    def _by_component(self, layer: int, pages: slice) -> Tensor:
        """Keys of closed pages, (pages, heads, head_dim, columns)."""
        return self.memory[layer, pages, 0].view(-1, self.heads, self.head_dim, self.columns)


def _bags(table: Tensor, index: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows of a table (count, width): (bags, width)."""
    sums: Tensor = torch.embedding_bag(table, index, offsets, False, 0, False, weights)[0]
    return sums


def check_window(model: GPT, window: Window) -> None:
    """Stop at a window that a model cannot hold.

    Raises:
        SeqrlError: it is too long.
    """
    if window.limit(model.transition_dim) > model.block_size:
        raise SeqrlError(
            f"{window.transitions} transitions of context do not fit the model's block of {model.block_size} tokens",
            f"use at most {(model.block_size + 1) // model.transition_dim}",
        )


def kept_dimensions(model: GPT) -> range:
    """Dimensions of a transition whose tokens are ever attended to: all, or all but the value."""
    hides_values = not bool(model.visible[:, model.transition_dim - 1 :: model.transition_dim].any())
    return range(model.transition_dim - hides_values)
