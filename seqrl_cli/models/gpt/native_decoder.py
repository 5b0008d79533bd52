"""Decoding of a GPT on a CPU: allocates the pages for the C++ in gpt.cpp.

A page has the keys and values of one transition. A row's past consists of closed pages, which never change and which
related rows share; then the first columns of a shared open page, which the row wrote before it was copied; then columns
of a private open page, written since. So copying and dropping rows moves only lists of pages. The two parts of a
transition are joined once, when it is complete.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function

from seqrl_cli.models.decoding.interface import Decoder, Window, greedy_token, rows_kept
from seqrl_cli.models.decoding.prefix_tree import prefix_levels
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.gpt.native_weights import Weights
from seqrl_cli.models.gpt.paged_cache import check_window, kept_dimensions
from seqrl_cli.native import library, structs
from seqrl_cli.native.pages import PageAllocator


@dataclass
class NativeState:
    """Rows of a native decoder; ``origin`` is already applied to ``tokens``, but not to the other tensors.

    Attributes:
        tokens: (rows, time) int64, the tokens in the window.
        order: (rows,) int32, the rows sorted so that related ones are adjacent.
        block_table: (rows, pages) int32, each row's closed pages, oldest first.
        shared: (rows,) int32, the open page with each row's columns before ``split``.
        private: (rows,) int32, the open page with each row's columns from ``split`` to ``filled``.
        split: number of shared columns.
        filled: number of stored columns of the transition.
        origin: (rows,) int64, the row whose past each row continues; None if each continues its own.
        generation: number of the decoder's ``prefill`` that the state comes from.
    """

    tokens: Tensor
    order: Tensor
    block_table: Tensor
    shared: Tensor
    private: Tensor
    split: int = 0
    filled: int = 0
    origin: Tensor | None = None
    generation: int = 0

    def expand(self, copies: int) -> NativeState:
        """Replace each row by ``copies`` rows."""
        return self._follow(torch.arange(len(self.tokens)).repeat_interleave(copies))

    def select(self, index: Tensor) -> NativeState:
        """Keep rows ``index`` (groups, kept) of each group."""
        return self._follow(rows_kept(index, len(self.tokens)))

    def _follow(self, rows: Tensor) -> NativeState:
        self.tokens = self.tokens[rows]
        self.origin = rows if self.origin is None else self.origin[rows]
        return self


class NativeGPTDecoder(Decoder):
    """Decodes a GPT token by token, with the same logits as encoding the whole window each time.

    Not thread-safe. It uses as many threads of its own as PyTorch.

    Args:
        model: the model, on the CPU; its weights are copied, so later training does not affect the decoder.
        window: the part of the sequence that is seen.

    Raises:
        SeqrlError: the model cannot hold the window.
        CompilationError: the C++ cannot be compiled on this machine.
    """

    compiled = True

    def __init__(self, model: GPT, window: Window) -> None:
        check_window(model, window)
        self.bins = model.bins
        self.observation_dim = model.observation_dim
        self.action_dim = model.action_dim
        self.transition_dim = model.transition_dim
        self.block_size = model.block_size
        self.window = window
        self.device = model.position_embedding.device
        self._kept = kept_dimensions(model)
        self._library = library.load()
        self._weights = Weights(model, model.token_embedding.by_dimension(), len(self._kept))
        layers = len(model.blocks)
        shape = self._weights.shape
        self._closed = PageAllocator(layers, shape, closed=True)
        self._open = PageAllocator(layers, shape, closed=False)
        self.generation = 0
        self.pools = (self._closed, self._open)

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, NativeState]:
        """Consume (groups, time) tokens, the newest that the window holds; logits (groups, bins + 1).

        A decoder has one cache: states from earlier calls become invalid.
        """
        tokens = tokens[:, self.window.overflow(tokens.shape[1], self.transition_dim) :]
        self.generation += 1
        return self.step(tokens[:, -1], self._encode(tokens[:, :-1]))

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: NativeState) -> tuple[Tensor, NativeState]:
        """Consume (rows,) tokens; logits (rows, bins + 1)."""
        state = self._make_room(state)
        logits, _ = self._consume(tokens, state, 1)
        return logits, state

    @torch.inference_mode()
    def greedy(self, logits: Tensor, state: NativeState, count: int) -> tuple[Tensor, Tensor, NativeState]:
        """See :meth:`Decoder.greedy`."""
        state = self._make_room(state)
        length = state.tokens.shape[1]
        slides = self.window.slides and self.window.overflow(length + count, self.transition_dim)
        if slides or length % self.transition_dim + count > len(self._kept):  # or a transition ends within
            return super().greedy(logits, state, count)
        first = greedy_token(logits)
        logits, others = self._consume(first, state, count)
        return torch.cat([first[:, None], others], dim=1), logits, state

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Most memory that planning needs for one episode, in bytes, if no two beams share a page.

        It counts pages three times, since they are copied when a pool grows to twice its size; the logits of a step;
        and the tokens of all rows.
        """
        transitions = self.window.transitions if self.window.slides else horizon
        rows = beam_width * n_expand
        closed = beam_width * transitions + self.window.transitions
        pages = self._closed.bytes_of(closed) + self._open.bytes_of(2 * rows + beam_width)
        return 3 * pages + rows * (8 * (self.bins + 1) + 16 * self.block_size)

    def _make_room(self, state: NativeState) -> NativeState:
        """Make room for one more token: slide the window if it is full, else update the pages."""
        assert state.generation == self.generation, "a later prefill replaced this state's cache"
        overflow = self.window.overflow(state.tokens.shape[1] + 1, self.transition_dim) if self.window.slides else 0
        if overflow:
            return self._encode(state.tokens[:, overflow:])
        self._apply_origin(state)
        return state

    def _consume(self, tokens: Tensor, state: NativeState, count: int) -> tuple[Tensor, Tensor]:
        """Consume each row's token (rows,), and then its most likely tokens until ``count`` are consumed.

        Returns:
            Logits of the next token (rows, bins + 1), and the tokens after the first, (rows, count - 1) int64.
        """
        first = state.tokens.shape[1]
        assert first + count <= self.block_size, "the sequence is longer than the model's block"
        keeps = first % self.transition_dim in self._kept
        if keeps and state.filled == state.split:
            state.private = self._open.take(len(tokens))
        logits = torch.empty(len(tokens), self.bins + 1)
        chosen = torch.empty(len(tokens), count - 1, dtype=torch.int64)
        tokens = tokens[:, None].contiguous()
        positions = range(first, first + count)
        self._forward(state, tokens, positions, self._open, keeps=keeps, logits=logits, chosen=chosen)
        state.tokens = torch.cat([state.tokens, tokens, chosen], dim=1)
        if keeps:
            state.filled += count
        return logits, chosen

    def _apply_origin(self, state: NativeState) -> None:
        """Apply ``origin`` to all tensors, and close full pages."""
        origin = state.origin
        state.origin = None
        full = state.filled == len(self._kept)
        if origin is None and not full:
            return
        if origin is None:
            origin = torch.arange(len(state.tokens))
        rank = torch.empty_like(state.order).scatter_(0, state.order.long(), torch.arange(len(state.order)).int())
        state.order = torch.argsort(rank[origin], stable=True).int()
        state.block_table = state.block_table[origin]
        if full:
            state.block_table = torch.cat([state.block_table, self._join(state, origin, self._closed)[:, None]], dim=1)
            state.split = state.filled = 0
            self._open.clear()
        elif state.filled == state.split:
            state.shared = state.shared[origin] if state.split else state.shared
        else:
            state.shared = self._join(state, origin, self._open) if state.split else state.private[origin]
            state.split = state.filled

    def _join(self, state: NativeState, origin: Tensor, pool: PageAllocator) -> Tensor:
        """Join each row's shared and private columns on one page per distinct origin; returns pages (rows,) int32."""
        distinct, number = torch.unique(origin, return_inverse=True)
        private = state.private[distinct]
        pages = pool.take(len(distinct))
        shared = state.shared[distinct] if state.split else private
        lists = (len(distinct), shared.data_ptr(), private.data_ptr(), pages.data_ptr())
        sizes = (state.split, state.filled, torch.get_num_threads())
        with record_function("seqrl::join"):
            self._library.join(self._weights.model, self._open.pages, pool.pages, *lists, *sizes)
        return pages[number]

    def _encode(self, tokens: Tensor) -> NativeState:
        """Encode (rows, time) tokens, common prefixes once, and fill the pages."""
        self._closed.clear()
        self._open.clear()
        none = torch.empty(0, dtype=torch.int32)
        if tokens.shape[1] == 0:
            rows = torch.arange(len(tokens), dtype=torch.int32)
            return NativeState(tokens, rows, none.expand(len(tokens), 0), none, none, generation=self.generation)
        levels, node = prefix_levels(tokens, self.transition_dim)
        past = none.expand(1, 0)
        for level in levels:
            kept = [i for i in range(level.tokens.shape[1]) if i in self._kept]
            pool = self._closed if len(kept) == len(self._kept) else self._open
            nodes = torch.arange(len(level.tokens), dtype=torch.int32)
            pages = pool.take(len(level.tokens))
            state = NativeState(level.tokens, nodes, past[level.parent], none, pages)
            self._forward(state, level.tokens[:, kept].contiguous(), [level.first + i for i in kept], pool, keeps=True)
            past = torch.cat([state.block_table, state.private[:, None]], dim=1)
        order = torch.argsort(node, stable=True).int()
        if pool is self._closed:
            return NativeState(tokens, order, past[node], none, none, generation=self.generation)
        filled = len(kept)
        closed = state.block_table[node]
        shared = state.private[node]
        return NativeState(tokens, order, closed, shared, none, filled, filled, generation=self.generation)

    def _call(self, state: NativeState, target: PageAllocator) -> structs.ForwardCall:
        """A call with a state's fields; the state and the pools must outlive it."""
        state.block_table = state.block_table.contiguous()
        return structs.ForwardCall(
            order=state.order.data_ptr(),
            block_table=state.block_table.data_ptr(),
            shared_page=state.shared.data_ptr(),
            private_page=state.private.data_ptr(),
            closed_pages=state.block_table.shape[1],
            split=state.split,
            column=state.filled,
            closed=self._closed.pages,
            open=self._open.pages,
            target=target.pages,
        )

    def _forward(
        self,
        state: NativeState,
        tokens: Tensor,
        positions: Sequence[int],
        target: PageAllocator,
        *,
        keeps: bool,
        logits: Tensor | None = None,
        chosen: Tensor | None = None,
    ) -> None:
        """Run (rows, span) tokens through the model.

        Args:
            state: the rows' past.
            tokens: int64 tokens, contiguous.
            positions: position of each token of the span, and of those in ``chosen``.
            target: the pool of the rows' private pages.
            keeps: whether to store the tokens' keys and values there.
            logits: (rows, bins + 1), overwritten with those after the last token.
            chosen: (rows, steps - 1) int64, overwritten with the most likely tokens after the first.
        """
        low, high = torch.aminmax(tokens)
        assert tokens.dtype == torch.int64 and low >= 0 and high <= self.bins, "tokens are out of range"
        dims = [position % self.transition_dim for position in positions]
        first_row = torch.tensor(dims) * (self.bins + 1)
        places = torch.tensor(positions)
        steps = 1 if chosen is None else chosen.shape[1] + 1
        call = self._call(state, target)
        call.units, call.span = tokens.shape
        call.steps = steps
        call.keeps = keeps
        call.tokens = tokens.data_ptr()
        call.first_row = first_row.data_ptr()
        call.position = places.data_ptr()
        if logits is not None:
            call.heads = ctypes.pointer(self._weights.heads[dims[-steps]])
            call.outputs = logits.shape[1]
            call.logits = logits.data_ptr()
        if chosen is not None:
            call.chosen = chosen.data_ptr()
        with record_function("seqrl::forward"):
            self._library.forward(self._weights.model, call, torch.get_num_threads())
