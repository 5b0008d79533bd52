"""A paged key/value cache: each row has a block table, a list of pages, and rows share pages.

A page holds the keys and values of one transition. Beams descend from few ancestors, so their block tables have most
pages in common; reordering beams moves only the tables. Attention over scattered pages is two ``embedding_bag`` calls,
which sum weighted rows of a table by index, in one pass without gathering them:

- the scores of one head and page are the page's key components, (head_dim, columns), summed with the query as weights;
- the output of one head is the values of all pages, (columns, head_dim), summed with the attention as weights.

So a closed page, which never changes again, stores its keys by component. An open page stores them by column, in the
order of arrival: by component, writing one token would touch a cache line per number.

An episode's context is the shared prefix of its group: one product computes its scores for all rows.

Each bag is summed on its own and in order, and the shape of one group's products does not depend on the other groups;
so a row's result does not depend on other groups, bit for bit.
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
    """The prefix that all rows of a group share.

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
            torch.bmm(part.transpose(0, 1), keys, out=out)  # heads first, as batched products need no copy then
        return products.transpose(1, 2).flatten(0, 1)


@dataclass(frozen=True)
class CacheView:
    """The locations of the keys and values of some rows.

    Attributes:
        shared_prefix: the prefix that the rows of each group share, if any.
        closed: closed pages per row after the prefix.
        known: tokens in the shared prefix and the closed pages.
        key_index: (rows * heads * closed * head_dim,) int32, rows of the key table, one bag per head and page.
        key_offsets: (rows * heads * closed,) int32, where each bag starts.
        value_index: (rows * heads, known + columns) int32, rows of the value table, one bag per head.
    """

    shared_prefix: SharedPrefix | None
    closed: int
    known: int
    key_index: Tensor
    key_offsets: Tensor
    value_index: Tensor

    def up_to(self, filled: int) -> CacheSlice:
        """The part with only the first ``filled`` columns of the open pages."""
        index = self.value_index[:, : self.known + filled].flatten()
        offsets = torch.arange(0, len(index), self.known + filled, dtype=torch.int32, device=index.device)
        return CacheSlice(self, filled, index, offsets)


@dataclass(frozen=True)
class CacheSlice:
    """The part of a view that is in use.

    Attributes:
        view: all locations.
        filled: number of used columns in the open pages.
        value_index: (rows * heads * length,) int32, rows of the value table, one bag per head.
        value_offsets: (rows * heads,) int32, where each bag starts.
    """

    view: CacheView
    filled: int
    value_index: Tensor
    value_offsets: Tensor


class PagedCache:
    """Keys and values of all layers.

    The first pages are open, one per row, and receive the tokens of the current transition; the others are closed and
    never change.

    Args:
        layers: layers of the model.
        heads: attention heads.
        head_dim: width of a head.
        columns: tokens per page.
        device: device of the pages.

    Attributes:
        rows: number of open pages.
        closed: number of closed pages in use.
        memory: (layers, pages, 2, heads * columns * head_dim) float32. A page has first its keys, (heads, columns,
            head_dim) if open and (heads, head_dim, columns) if closed, then its values, (heads, columns, head_dim).
    """

    def __init__(self, layers: int, heads: int, head_dim: int, columns: int, device: torch.device) -> None:
        self.heads = heads
        self.head_dim = head_dim
        self.columns = columns
        self.rows = 0
        self.closed = 0
        self.memory = torch.empty(layers, 0, 2, heads * columns * head_dim, device=device)

    def clear(self) -> None:
        """Discard all closed pages; their memory is reused."""
        self.closed = 0

    def reserve(self, rows: int, closed: int) -> None:
        """Make room for ``rows`` open pages and ``closed`` more closed ones."""
        needed = max(rows, self.rows) + self.closed + closed
        if rows <= self.rows and needed <= self.memory.shape[1]:
            return
        old = self.memory
        old_rows = self.rows
        self.rows = max(rows, self.rows)
        # extra room, so that pages are rarely copied
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
        """Allocate ``count`` closed pages; their room must be reserved. Returns their location."""
        first = self.rows + self.closed
        assert first + count <= self.memory.shape[1]
        self.closed += count
        return slice(first, first + count)

    def reorder(self, origin: Tensor, filled: int) -> None:
        """Replace the first ``filled`` columns of open page i by those of open page ``origin[i]``."""
        self.reserve(len(origin), 0)
        for layer in range(len(self.memory)):
            used = self._by_column(layer, slice(self.rows))[:, :, :, :filled]
            used[: len(origin)] = used.index_select(0, origin)

    def close(self, origin: Tensor) -> Tensor:
        """Copy full open pages ``origin`` (rows,) to new closed ones; returns their numbers (rows,)."""
        self.reserve(0, len(origin))
        first = self.closed
        added = self.append(len(origin))
        for layer in range(len(self.memory)):
            keys, values = self._by_column(layer, slice(self.rows)).index_select(0, origin).unbind(1)
            self.fill_closed(layer, added, keys, values)
        return torch.arange(first, self.closed, device=origin.device)

    def view(self, block_table: Tensor, shared_prefix: SharedPrefix | None) -> CacheView:
        """The locations of the rows' keys and values.

        Args:
            block_table: (rows, pages), the closed pages of each row, before its open page.
            shared_prefix: the shared prefix before the closed pages, if any.
        """
        rows = len(block_table)
        device = block_table.device
        heads, columns, components = (
            torch.arange(count, dtype=torch.int32, device=device) for count in (self.heads, self.columns, self.head_dim)
        )
        closed = (block_table + self.rows).int()
        open_page = torch.arange(rows, dtype=torch.int32, device=device)[:, None]
        bags = closed[:, None] * (2 * self.heads) + heads[:, None]
        key_index = (bags[..., None] * self.head_dim + components).flatten()
        key_offsets = torch.arange(0, len(key_index), self.head_dim, dtype=torch.int32, device=device)
        pages = [closed, open_page]
        if shared_prefix is not None:
            shared = (shared_prefix.block_table + self.rows).int()
            pages = [shared.repeat_interleave(rows // len(shared), 0), *pages]
        all_pages = torch.cat(pages, dim=1)[:, None]
        tokens = ((all_pages * 2 + 1) * self.heads + heads[:, None])[..., None] * self.columns + columns
        known = (all_pages.shape[2] - 1) * self.columns
        return CacheView(
            shared_prefix, block_table.shape[1], known, key_index, key_offsets, tokens.flatten(2).flatten(0, 1)
        )

    def write(self, layer: int, column: int, key_value: Tensor) -> None:
        """Store one token's keys and values, (rows, 2, heads, head_dim), in the rows' open pages."""
        self._by_column(layer, slice(len(key_value)))[:, :, :, column] = key_value

    def to_shared_prefix(self, block_table: Tensor) -> SharedPrefix:
        """The closed pages ``block_table`` (groups, pages) as a shared prefix."""
        chosen = self.memory[:, (block_table + self.rows).flatten(), 0]
        keys = chosen.view(len(chosen), *block_table.shape, self.heads, self.head_dim, self.columns)
        return SharedPrefix(block_table, keys.permute(0, 1, 3, 4, 2, 5).flatten(4).contiguous())

    def attend(self, layer: int, query: Tensor, past: CacheSlice) -> Tensor:
        """Attention of one query per row to everything that the row has seen.

        Args:
            layer: number of the layer.
            query: (rows, heads, head_dim), scaled.
            past: locations of the keys and values.

        Returns:
            (rows, heads * head_dim).
        """
        view = past.view
        scores = []
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
    """Check that a model can hold a window.

    Raises:
        SeqrlError: the window is too long.
    """
    if window.limit(model.transition_dim) > model.block_size:
        raise SeqrlError(
            f"{window.transitions} transitions of context do not fit the model's block of {model.block_size} tokens",
            f"use at most {(model.block_size + 1) // model.transition_dim}",
        )


def kept_dimensions(model: GPT) -> range:
    """Dimensions of a transition whose tokens are attended to: all, or all but the value."""
    values_visible = bool(model.visible[:, model.transition_dim - 1 :: model.transition_dim].any())
    return range(model.transition_dim if values_visible else model.transition_dim - 1)
