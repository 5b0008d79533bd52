"""A GPT as a decoder: a key/value cache that stores once what beams share, and a window that slides.

What is not computed:

- Keys and values of value tokens, which nothing attends to. The token itself is still a query: its output predicts the
  next observation.
- The past once a beam. The cache is a list of segments; a segment holds a stretch of the sequence for each set of rows
  that share it (an episode's context, a beam's past for the beam's children), and all its rows attend to it at once.
- Logits of other dimensions than the next token's, or of tokens that are already known.
- The past of beams that agree on it, when the window slides and positions restart: see :mod:`seqrl_cli.models.trie`.

Layer norms' scale and shift, the queries' scale and the values' bias are folded into the linear layers beside them; the
keys' bias adds the same to all scores of a query, which softmax ignores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.decoder import Window
from seqrl_cli.models.gpt import GPT, Block
from seqrl_cli.models.packed_linear import PackedLinear
from seqrl_cli.models.trie import Level, prefix_levels


@dataclass
class Segment:
    """Keys and values of a stretch of the sequence, for groups of rows that share it.

    Attributes:
        keys: (layers, groups, heads, head_dim, capacity) float32; transposed, because queries are few.
        values: (layers, groups, heads, capacity, head_dim) float32.
        length: columns in use.
    """

    keys: Tensor
    values: Tensor
    length: int = 0

    @property
    def groups(self) -> int:
        """Number of sets of rows."""
        return self.keys.shape[1]

    @property
    def is_full(self) -> bool:
        """Whether no column is free."""
        return self.length == self.keys.shape[4]

    def write(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Store one token's keys and values, each (groups, heads, head_dim), in the newest column."""
        self.keys[layer, ..., self.length - 1] = key
        self.values[layer, :, :, self.length - 1] = value


@dataclass
class GPTState:
    """Rows of a GPT decoder.

    Attributes:
        groups: episodes.
        tokens: (rows, capacity) int64, the tokens in the window; rows of a group are next to each other.
        length: tokens in the window.
        segments: the cache, oldest first. Rows ``i * rows / groups`` to ``(i + 1) * rows / groups`` of a state see group
            ``i`` of a segment.
        chosen: (rows,) row of the segments that each row continues, when ``select`` has been called since the last step.
    """

    groups: int
    tokens: Tensor
    length: int = 0
    segments: list[Segment] = field(default_factory=list)
    chosen: Tensor | None = None

    def expand(self, copies: int) -> GPTState:
        """Make each row ``copies`` rows; nothing but token numbers is copied."""
        self.tokens = self.tokens.repeat_interleave(copies, dim=0)
        return self

    def select(self, index: Tensor) -> GPTState:
        """Keep the rows ``index`` (groups, kept) of each group; keys and values follow at the next step, if needed."""
        rows_each = len(self.tokens) // self.groups
        first = torch.arange(self.groups, device=index.device)[:, None] * rows_each
        rows = (index + first).flatten()
        self.tokens = self.tokens[rows]
        self.chosen = rows if self.chosen is None else self.chosen[rows]
        return self


class GPTDecoder:
    """Decode with a :class:`~seqrl_cli.models.gpt.GPT`, a token at a time, exactly as if all were encoded again.

    Args:
        model: the weights; they are copied, so later training does not reach the decoder.
        window: which part of the sequence is seen.
    """

    def __init__(self, model: GPT, window: Window) -> None:
        assert window.overflow(model.block_size, model.transition_dim) >= 0
        self.bins = model.bins
        self.observation_dim, self.action_dim = model.observation_dim, model.action_dim
        self.transition_dim, self.block_size = model.transition_dim, model.block_size
        self.window = window
        self.hides_values = not bool(model.visible[:, self.transition_dim - 1 :: self.transition_dim].any())
        self.embedding = _embedding_by_dimension(model)
        self.positions = model.position_embedding.detach().float()
        self.layers = [Layer(block) for block in model.blocks if isinstance(block, Block)]
        self.heads = [_fold(model.norm, weight) for weight in model.head.weight]

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, GPTState]:
        """Consume (groups, time) tokens, the newest that the window holds; logits (groups, bins + 1)."""
        tokens = tokens[:, self.window.overflow(tokens.shape[1], self.transition_dim) :]
        state = GPTState(len(tokens), tokens[:, :0])
        if tokens.shape[1] > 1:
            self._encode(state, [Level(tokens[:, :-1], None)])
        state.tokens = tokens[:, :-1]
        return self.step(tokens[:, -1], state)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: GPTState) -> tuple[Tensor, GPTState]:
        """Consume (rows,) tokens; logits (rows, bins + 1)."""
        state.tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)
        self._settle(state)
        position = state.tokens.shape[1] - 1
        assert position < self.block_size, "the sequence outgrew the model's block"
        dim = position % self.transition_dim
        segment = self._room(state) if self._caches(dim) else None
        x = functional.embedding(tokens, self.embedding[dim]) + self.positions[position]
        for number, layer in enumerate(self.layers):
            x = layer.step(x, state.segments, segment, number)
        return self.heads[dim](_normalize(x)), state

    def _caches(self, dim: int) -> bool:
        """Whether a token of this dimension is ever attended to."""
        return not (self.hides_values and dim == self.transition_dim - 1)

    def _settle(self, state: GPTState) -> None:
        """Bring the cache in line with the rows: encode again if the window slid, otherwise carry out a selection."""
        overflow = self.window.overflow(state.tokens.shape[1], self.transition_dim) if self.window.slides else 0
        if overflow:
            state.tokens = state.tokens[:, overflow:]
            self._encode(state, prefix_levels(state.tokens[:, :-1], self.transition_dim))
        elif state.chosen is not None:
            state.segments = _gather(state.segments, state.groups, state.chosen)
        state.chosen = None
