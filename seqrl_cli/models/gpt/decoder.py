"""Decoding of a GPT with a key/value cache that beams share and a window that slides.

What is not computed:

- The past of each beam. Related beams share the pages of their past (see :mod:`~seqrl_cli.models.gpt.paged_cache`),
  and all beams of an episode attend to its context together.
- Keys and values of value tokens, to which nothing attends. The token itself is still a query: its output predicts the
  next observation.
- Logits of dimensions other than the next token's, and of known tokens.
- The window of each beam when it slides and positions restart: common prefixes are encoded once, and the last layer
  only up to its keys and values.

The scale and shift of layer norms, the queries' scale and the values' bias are folded into the adjacent linear layers;
the keys' bias adds the same to all scores of a query, which softmax ignores.

An episode's plan does not depend on the episodes planned beside it, bit for bit: each operation treats its rows (linear
layers, see :mod:`~seqrl_cli.models.decoding.invariant_linear`; norms, softmax, GELU) or its groups (batched products,
whose shape within a group depends on that group alone) independently, and in the same order of additions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.models.block import Block
from seqrl_cli.models.decoding.interface import Decoder, Window, rows_kept
from seqrl_cli.models.decoding.prefix_tree import PrefixLevel, prefix_levels
from seqrl_cli.models.gpt.decoder_layer import GPTLayer, fold_norm, normalize
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.gpt.paged_cache import CacheView, PagedCache, SharedPrefix, check_window, kept_dimensions


@dataclass
class GPTState:
    """Rows of a GPT decoder.

    Attributes:
        tokens: (rows, time) int64, the tokens in the window.
        block_table: (rows, pages) int64, each row's closed pages after the shared prefix, oldest first.
        filled: number of used columns in the rows' open pages.
        origin: (rows,) int64, the open page that each row continues; None if each continues its own.
        view: locations of the rows' keys and values; None after rows or pages change.
        shared_prefix: keys and values of the context; None once the window has slid.
        generation: number of the decoder's ``prefill`` that the state comes from.
    """

    tokens: Tensor
    block_table: Tensor
    filled: int = 0
    origin: Tensor | None = None
    view: CacheView | None = None
    shared_prefix: SharedPrefix | None = None
    generation: int = 0

    def expand(self, copies: int) -> GPTState:
        """Replace each row by ``copies`` rows."""
        return self._follow(torch.arange(len(self.tokens), device=self.tokens.device).repeat_interleave(copies))

    def select(self, index: Tensor) -> GPTState:
        """Keep rows ``index`` (groups, kept) of each group."""
        return self._follow(rows_kept(index, len(self.tokens)))

    def _follow(self, rows: Tensor) -> GPTState:
        """Replace row ``i`` by row ``rows[i]``; the next step reorders the open pages."""
        self.tokens = self.tokens[rows]
        self.block_table = self.block_table[rows]
        self.origin = rows if self.origin is None else self.origin[rows]
        self.view = None
        return self


class GPTDecoder(Decoder):
    """Decodes a GPT token by token, with the same logits as encoding the whole window each time.

    Args:
        model: the model; its weights are copied, so later training does not affect the decoder.
        window: the part of the sequence that is seen.
        precision: precision of products with the layers' weights; attention, norms, sums and logits are always float32.
        shares: whether beams with a common prefix are encoded once when the window slides. If not, no shape depends on
            the tokens, so nothing waits for a GPU, and a whole plan can be captured as one CUDA graph.

    Raises:
        SeqrlError: the model cannot hold the window.
    """

    def __init__(self, model: GPT, window: Window, precision: torch.dtype = torch.float32, shares: bool = True) -> None:
        check_window(model, window)
        self.bins = model.bins
        self.observation_dim = model.observation_dim
        self.action_dim = model.action_dim
        self.transition_dim = model.transition_dim
        self.block_size = model.block_size
        self.window = window
        self.device = model.position_embedding.device
        self.shares = shares
        self.kept = kept_dimensions(model)
        self.embedding = model.token_embedding.by_dimension()
        self.positions = model.position_embedding.detach().float().clone()
        self.layers = [GPTLayer(block, precision) for block in model.blocks if isinstance(block, Block)]
        self.heads = [fold_norm(model.norm, *model.head.linear(dim)) for dim in range(self.transition_dim)]
        first = self.layers[0]
        self.generation = 0
        self.cache = PagedCache(len(self.layers), first.n_head, first.head_dim, len(self.kept), self.device)

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, GPTState]:
        """Consume (groups, time) tokens, the newest that the window holds; logits (groups, bins + 1).

        A decoder has one cache: states from earlier calls become invalid.
        """
        tokens = tokens[:, self.window.overflow(tokens.shape[1], self.transition_dim) :]
        self.generation += 1
        state = GPTState(tokens[:, :-1], tokens[:, :0], generation=self.generation)
        if tokens.shape[1] > 1:
            self._encode(state)
        if state.block_table.shape[1]:
            state.shared_prefix = self.cache.to_shared_prefix(state.block_table)
            state.block_table = state.block_table[:, :0]
        return self.step(tokens[:, -1], state)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: GPTState) -> tuple[Tensor, GPTState]:
        """Consume (rows,) tokens; logits (rows, bins + 1)."""
        assert state.generation == self.generation, "a later prefill replaced this state's cache"
        self._make_room(state)
        position = state.tokens.shape[1]
        assert position < self.block_size, "the sequence is longer than the model's block"
        state.tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)
        dim = position % self.transition_dim
        column = state.filled if dim in self.kept else None
        if column is not None:
            state.filled += 1
        state.view = state.view or self.cache.view(state.block_table, state.shared_prefix)
        past = state.view.up_to(state.filled)
        x = functional.embedding(tokens, self.embedding[dim]) + self.positions[position]
        for number, layer in enumerate(self.layers):
            heads = layer.project(x)
            if column is not None:
                self.cache.write(number, column, heads[:, 1:])
            x = layer.finish(x, self.cache.attend(number, heads[:, 0], past))
        return self.heads[dim](normalize(x)), state

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Most memory that planning needs for one episode, in bytes, if no two beams share a page.

        It counts pages twice, since they are copied when the cache grows; block tables and scores; and the hidden
        vectors when a window is encoded again.
        """
        transitions = self.window.transitions if self.window.slides else horizon
        columns = self.cache.columns
        heads = self.layers[0].n_head
        width = heads * self.layers[0].head_dim
        rows = beam_width * n_expand
        closed = beam_width * (transitions - 1) + self.window.transitions
        pages = 2 * len(self.layers) * width * columns * (2 * rows + 3 * closed)
        tables = 4 * rows * (transitions + 1) * (width + columns * heads)
        encoded = 12 * width * columns * closed if self.window.slides else 0
        return 4 * (pages + tables + encoded)

    def _make_room(self, state: GPTState) -> None:
        """Make room for one more token: slide the window, close full pages, or reorder open pages."""
        length = state.tokens.shape[1] + 1
        overflow = self.window.overflow(length, self.transition_dim) if self.window.slides else 0
        if overflow:
            state.tokens = state.tokens[:, overflow:]
            self._encode(state)
        elif state.filled == self.cache.columns:
            rows = len(state.tokens)
            origin = torch.arange(rows, device=self.device) if state.origin is None else state.origin
            state.block_table = torch.cat([state.block_table, self.cache.close(origin)[:, None]], dim=1)
            state.filled = 0
            state.view = None
        elif state.origin is not None and state.filled:
            self.cache.reorder(state.origin, state.filled)
        self.cache.reserve(len(state.tokens), 0)
        state.origin = None

    def _encode(self, state: GPTState) -> None:
        """Encode all of a state's tokens again, common prefixes once, and fill the pages."""
        levels, node = prefix_levels(state.tokens, self.transition_dim, self.shares)
        inputs = [self._embed_kept(level) for level in levels]
        counts = [each.shape[:2] for each in inputs]
        last = counts[-1][1]
        is_open = last < self.cache.columns
        closed = counts[:-1] if is_open else counts
        self.cache.clear()
        self.cache.reserve(len(node), sum(nodes for nodes, _ in closed))
        places = [self.cache.append(nodes) for nodes, _ in closed]
        x = torch.cat([each.flatten(0, 1) for each in inputs])
        for number, layer in enumerate(self.layers):
            x, keys, values = layer.encode(x, counts, [level.parent for level in levels], layer is self.layers[-1])
            for place, key, value in zip(places, keys, values, strict=False):
                self.cache.fill_closed(number, place, key, value)
            if is_open:
                self.cache.fill(number, slice(len(node)), keys[-1][node], values[-1][node])
        state.filled = last if is_open else 0
        state.view = None
        state.shared_prefix = None
        state.block_table = self._paths(levels, places, node)

    def _paths(self, levels: list[PrefixLevel], places: list[slice], node: Tensor) -> Tensor:
        """Closed pages (rows, pages) of the sequences that end at the last level's nodes ``node`` (rows,)."""
        pages = []
        for level, place in reversed(list(zip_longest(levels, places))):
            if place is not None:
                pages.append(node + place.start - self.cache.rows)
            node = level.parent[node]
        return torch.stack(pages[::-1], dim=1) if pages else node.new_empty(len(node), 0)

    def _embed_kept(self, level: PrefixLevel) -> Tensor:
        """Inputs of the first layer for a level's tokens without value tokens: (nodes, time, width)."""
        count = min(level.tokens.shape[1], len(self.kept))
        rows = level.tokens[:, :count] + torch.arange(count, device=self.device) * (self.bins + 1)
        return functional.embedding(rows, self.embedding.flatten(0, 1)) + self.positions[level.first :][:count]
