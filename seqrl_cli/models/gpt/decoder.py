"""A GPT as a decoder: a key/value cache that stores once what beams share, and a window that slides.

What is not computed:

- The past once per beam. Beams that descend from one another share the pages of their past (see
  :mod:`~seqrl_cli.models.gpt.paged_cache`), and all of an episode's beams attend to its context together.
- Keys and values of value tokens, which nothing attends to. The token itself is still a query: its output predicts the
  next observation.
- Logits of other dimensions than the next token's, or of tokens that are known.
- The window of each beam when it slides and positions restart: what beams have in common is encoded once, and the last
  layer only up to its keys and values.

Layer norms' scale and shift, the queries' scale and the values' bias are folded into the linear layers beside them; the
keys' bias adds the same to all scores of a query, which softmax ignores.

Why an episode's plan is the same, bit for bit, whatever is planned beside it: each operation treats its rows (linear
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
from seqrl_cli.models.decoding.prefix_tree import Level, prefix_levels
from seqrl_cli.models.gpt.decoder_layer import GPTLayer, fold_norm, normalize
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.gpt.paged_cache import CacheView, PagedCache, SharedPrefix, check_window, kept_dimensions


@dataclass
class GPTState:
    """Rows of a GPT decoder.

    Attributes:
        tokens: (rows, time) int64, the tokens in the window.
        block_table: (rows, pages) int64, the closed pages that each row has seen after the shared prefix, oldest first.
        filled: columns in use of the rows' open pages.
        origin: (rows,) int64, the open page that each row continues; None when it is its own.
        view: where the rows' keys and values lie, until rows or pages change.
        shared_prefix: keys and values of the context, as long as the window has not slid.
        generation: which ``prefill`` of the decoder the state is of.
    """

    tokens: Tensor
    block_table: Tensor
    filled: int = 0
    origin: Tensor | None = None
    view: CacheView | None = None
    shared_prefix: SharedPrefix | None = None
    generation: int = 0

    def expand(self, copies: int) -> GPTState:
        """Make each row ``copies`` rows."""
        return self._follow(torch.arange(len(self.tokens), device=self.tokens.device).repeat_interleave(copies))

    def select(self, index: Tensor) -> GPTState:
        """Keep rows ``index`` (groups, kept) of each group."""
        return self._follow(rows_kept(index, len(self.tokens)))

    def _follow(self, rows: Tensor) -> GPTState:
        """Make row ``i`` what row ``rows[i]`` was; keys and values of the open pages follow with the next step."""
        self.tokens, self.block_table = self.tokens[rows], self.block_table[rows]
        self.origin = rows if self.origin is None else self.origin[rows]
        self.view = None
        return self


class GPTDecoder(Decoder):
    """Decode with a GPT, a token at a time, to the same logits as if all of the window were encoded each time.

    Args:
        model: the weights; they are copied, so later training does not reach the decoder.
        window: which part of the sequence is seen.
        precision: of products with the layers' weights; attention, norms, sums and logits are float32 in any case.
        shares: whether beams that begin alike are encoded once when the window slides. Without, no shape depends on the
            tokens, and nothing waits for a GPU to tell them: a whole plan can be captured as one CUDA graph.

    Raises:
        SeqrlError: the model cannot hold the window.
    """

    def __init__(self, model: GPT, window: Window, precision: torch.dtype = torch.float32, shares: bool = True) -> None:
        check_window(model, window)
        self.bins = model.bins
        self.observation_dim, self.action_dim = model.observation_dim, model.action_dim
        self.transition_dim, self.block_size = model.transition_dim, model.block_size
        self.window, self.device, self.shares = window, model.position_embedding.device, shares
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

        A decoder has one cache: this ends the use of states from earlier calls.
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
        assert state.generation == self.generation, "a later prefill has taken this state's cache"
        self._settle(state)
        position = state.tokens.shape[1]
        assert position < self.block_size, "the sequence outgrew the model's block"
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
        """Most memory that planning takes for one episode, in bytes, if no two beams share a page.

        Pages once more while they move to a larger place, lists of pages and the scores they give, and the hidden
        vectors of a window that is encoded anew.
        """
        transitions = self.window.transitions if self.window.slides else horizon
        width, columns = self.layers[0].n_head * self.layers[0].head_dim, self.cache.columns
        rows, closed = beam_width * n_expand, beam_width * (transitions - 1) + self.window.transitions
        pages = 2 * len(self.layers) * width * columns * (2 * rows + 3 * closed)
        lists = 4 * rows * (transitions + 1) * (width + columns * self.layers[0].n_head)
        encoded = 12 * width * columns * closed if self.window.slides else 0
        return 4 * (pages + lists + encoded)

    def _settle(self, state: GPTState) -> None:
        """Make room for one more token: slide the window, close full pages, or let open pages follow their rows."""
        length = state.tokens.shape[1] + 1
        overflow = self.window.overflow(length, self.transition_dim) if self.window.slides else 0
        if overflow:
            state.tokens = state.tokens[:, overflow:]
            self._encode(state)
        elif state.filled == self.cache.columns:
            rows = len(state.tokens)
            origin = torch.arange(rows, device=self.device) if state.origin is None else state.origin
            state.block_table = torch.cat([state.block_table, self.cache.close(origin)[:, None]], dim=1)
            state.filled, state.view = 0, None
        elif state.origin is not None and state.filled:
            self.cache.reorder(state.origin, state.filled)
        self.cache.reserve(len(state.tokens), 0)
        state.origin = None

    def _encode(self, state: GPTState) -> None:
        """Fill pages anew with all of a state's tokens, sequences that begin alike once."""
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
        state.filled, state.view, state.shared_prefix = last if is_open else 0, None, None
        state.block_table = self._paths(levels, places, node)

    def _paths(self, levels: list[Level], places: list[slice], node: Tensor) -> Tensor:
        """Closed pages of sequences that end at the last level's nodes ``node`` (rows,): (rows, pages)."""
        pages = []
        for level, place in reversed(list(zip_longest(levels, places))):
            if place is not None:
                pages.append(node + place.start - self.cache.rows)
            node = level.parent[node]
        return torch.stack(pages[::-1], dim=1) if pages else node.new_empty(len(node), 0)

    def _embed_kept(self, level: Level) -> Tensor:
        """Inputs of the first layer for a level's tokens, value tokens left out: (nodes, time, width)."""
        count = min(level.tokens.shape[1], len(self.kept))
        rows = level.tokens[:, :count] + torch.arange(count, device=self.device) * (self.bins + 1)
        return functional.embedding(rows, self.embedding.flatten(0, 1)) + self.positions[level.first :][:count]
