"""A GPT as a decoder: a key/value cache that stores once what beams share, and a window that slides.

What is not computed:

- The past once a beam. The cache is a list of segments; a segment holds a stretch of the sequence for groups of rows
  that share it (an episode's context, a beam's past for the beam's children), and a group's rows attend to it together.
- Keys and values of value tokens, which nothing attends to. The token itself is still a query: its output predicts the
  next observation.
- Logits of other dimensions than the next token's, or of tokens that are known.
- The window of each beam when it slides and positions restart: what beams have in common is encoded once, and the last
  layer only up to its keys and values.

Layer norms' scale and shift, the queries' scale and the values' bias are folded into the linear layers beside them; the
keys' bias adds the same to all scores of a query, which softmax ignores.

Why an episode's plan is the same, bit for bit, whatever is planned beside it: each operation treats its rows (linear
layers, see :class:`~seqrl_cli.models.decoder_linear.PackedLinear`; norms, softmax, GELU) or its groups (batched
products, whose shape within a group depends on that group alone) independently, and in the same order of additions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoder import Window
from seqrl_cli.models.decoder_cache import Segment, attend, merge
from seqrl_cli.models.decoder_linear import PackedLinear
from seqrl_cli.models.decoder_prefixes import Level, prefix_levels
from seqrl_cli.models.gpt import GPT, Block


@dataclass
class GPTState:
    """Rows of a GPT decoder.

    Attributes:
        groups: episodes.
        tokens: (rows, time) int64, the tokens in the window.
        segments: the cache, oldest first.
        laid_out: rows that the cache is laid out for.
        origin: (rows,) int64, the row of the cache that each row continues; None when they are the same.
    """

    groups: int
    tokens: Tensor
    segments: list[Segment] = field(default_factory=list)
    laid_out: int = 0
    origin: Tensor | None = None

    def expand(self, copies: int) -> GPTState:
        """Make each row ``copies`` rows; only tokens are copied."""
        self.tokens = self.tokens.repeat_interleave(copies, dim=0)
        if self.origin is None:
            self.laid_out *= copies
        else:
            self.origin = self.origin.repeat_interleave(copies)
        return self

    def select(self, index: Tensor) -> GPTState:
        """Keep rows ``index`` (groups, kept) of each group; keys and values follow with the next step, if needed."""
        rows_each = len(self.tokens) // self.groups
        rows = (index + torch.arange(self.groups, device=index.device)[:, None] * rows_each).flatten()
        self.tokens = self.tokens[rows]
        self.origin = rows if self.origin is None else self.origin[rows]
        return self


class GPTDecoder:
    """Decode with a GPT, a token at a time, to the same logits as if all of the window were encoded each time.

    Args:
        model: the weights; they are copied, so later training does not reach the decoder.
        window: which part of the sequence is seen.

    Raises:
        SeqrlError: the model cannot hold the window.
    """

    def __init__(self, model: GPT, window: Window) -> None:
        self.bins = model.bins
        self.observation_dim, self.action_dim = model.observation_dim, model.action_dim
        self.transition_dim, self.block_size = model.transition_dim, model.block_size
        if window.limit(self.transition_dim) > self.block_size:
            raise SeqrlError(
                f"{window.transitions} transitions of context do not fit the model's block of {self.block_size} tokens",
                f"use at most {(self.block_size + 1) // self.transition_dim}",
            )
        self.window, self.device = window, model.position_embedding.device
        self.hides_values = not bool(model.visible[:, self.transition_dim - 1 :: self.transition_dim].any())
        self.embedding = _embedding_by_dimension(model)
        self.positions = model.position_embedding.detach().float()
        self.layers = [Layer(block) for block in model.blocks if isinstance(block, Block)]
        self.heads = [_fold(model.norm, weight, None) for weight in model.head.weight]

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, GPTState]:
        """Consume (groups, time) tokens, the newest that the window holds; logits (groups, bins + 1)."""
        tokens = tokens[:, self.window.overflow(tokens.shape[1], self.transition_dim) :]
        past = tokens[:, :-1]
        state = GPTState(len(tokens), past, laid_out=len(tokens))
        if past.shape[1]:
            level = Level(0, past, torch.zeros_like(past[:, 0]))
            state.segments = [self._encode([level], torch.arange(len(tokens), device=tokens.device))]
        return self.step(tokens[:, -1], state)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: GPTState) -> tuple[Tensor, GPTState]:
        """Consume (rows,) tokens; logits (rows, bins + 1)."""
        state.tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)
        self._settle(state)
        position = state.tokens.shape[1] - 1
        assert position < self.block_size, "the sequence outgrew the model's block"
        dim = position % self.transition_dim
        is_kept = self._is_kept(dim)
        if is_kept:
            self._open_column(state)
        x = functional.embedding(tokens, self.embedding[dim]) + self.positions[position]
        for number, layer in enumerate(self.layers):
            x = layer.step(number, x, state.segments, is_kept)
        return self.heads[dim](_normalize(x)), state

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Most memory that planning takes for one episode, in bytes: the cache, twice while it is rearranged."""
        width = len(self.layers) * self.layers[0].n_head * self.layers[0].head_dim
        transitions = self.window.transitions if self.window.slides else horizon
        past = beam_width * transitions * self.transition_dim
        newest = beam_width * n_expand * self.transition_dim
        return 2 * 4 * width * (2 * past + newest + self.block_size)

    def _is_kept(self, dim: int) -> bool:
        """Whether tokens of this dimension are ever attended to."""
        return not (self.hides_values and dim == self.transition_dim - 1)

    def _settle(self, state: GPTState) -> None:
        """Bring the cache in line with the rows: encode again if the window slides now, else carry out selections."""
        overflow = self.window.overflow(state.tokens.shape[1], self.transition_dim) if self.window.slides else 0
        if overflow:
            state.tokens = state.tokens[:, overflow:]
            state.segments = [self._encode(*prefix_levels(state.tokens[:, :-1], self.transition_dim))]
        elif state.origin is not None:
            shared = [segment for segment in state.segments if segment.groups == state.groups]
            apart = [segment for segment in state.segments if segment.groups > state.groups]
            merged = [merge(apart, state.origin, state.laid_out, self.transition_dim)] if apart else []
            state.segments = shared + merged
        state.laid_out, state.origin = len(state.tokens), None

    def _open_column(self, state: GPTState) -> None:
        """Make room for one token of each row in the newest segment, or in a new one."""
        rows, last = len(state.tokens), state.segments[-1] if state.segments else None
        if last is None or last.groups != rows or last.length == last.capacity:
            last = self._new_segment(rows, self.transition_dim)
            state.segments.append(last)
        last.length += 1

    def _new_segment(self, groups: int, capacity: int) -> Segment:
        heads, head_dim = self.layers[0].n_head, self.layers[0].head_dim
        return Segment.empty(len(self.layers), groups, heads, head_dim, capacity, self.positions.device)

    def _encode(self, levels: list[Level], ends: Tensor) -> Segment:
        """Keys and values of known tokens.

        Args:
            levels: the tokens, sequences that begin alike in one.
            ends: (rows,) node of the last level at which each row ends.

        Returns:
            A segment with a group for each row.
        """
        nodes = [self._embed_kept(level) for level in levels]
        counts = [node.shape[:2] for node in nodes]
        x = torch.cat([node.flatten(0, 1) for node in nodes])
        parents = [level.parent for level in levels]
        length = sum(time for _, time in counts)
        segment = self._new_segment(len(ends), length + self.transition_dim)
        segment.length = length
        for number, layer in enumerate(self.layers):
            x, keys, values = layer.encode(x, counts, parents, is_last=layer is self.layers[-1])
            segment.keys[number, ..., :length] = keys[ends].transpose(2, 3)
            segment.values[number, :, :, :length] = values[ends]
        return segment

    def _embed_kept(self, level: Level) -> Tensor:
        """Inputs of the first layer for a level's tokens, value tokens left out: (nodes, time, width)."""
        kept = [i for i in range(level.tokens.shape[1]) if self._is_kept((level.first + i) % self.transition_dim)]
        dims = [(level.first + i) % self.transition_dim for i in kept]
        rows = level.tokens[:, kept] + torch.tensor(dims, device=level.tokens.device) * (self.bins + 1)
        positions = self.positions[[level.first + i for i in kept]]
        return functional.embedding(rows, self.embedding.flatten(0, 1)) + positions


class Layer:
    """One block of a GPT with its norms folded into its linear layers."""

    def __init__(self, block: Block) -> None:
        width = block.projection.in_features
        self.n_head, self.head_dim = block.n_head, width // block.n_head
        scale = torch.ones(3, width, dtype=torch.float64, device=block.qkv.weight.device)
        scale[0] /= math.sqrt(self.head_dim)
        self.qkv = _fold(block.norm_attention, block.qkv.weight, block.qkv.bias, scale.flatten())
        self.projection = PackedLinear(block.projection.weight, block.projection.bias)
        self.mlp_in = _fold(block.norm_mlp, block.mlp_in.weight, block.mlp_in.bias)
        self.mlp_out = PackedLinear(block.mlp_out.weight, block.mlp_out.bias)

    def step(self, number: int, x: Tensor, segments: list[Segment], is_kept: bool) -> Tensor:
        """Transform one token a row, ``x`` (rows, width); its key and value go to the newest column if it is kept."""
        query, key, value = self.qkv(_normalize(x)).view(len(x), 3, self.n_head, self.head_dim).unbind(1)
        if is_kept:
            newest = segments[-1]
            newest.keys[number, ..., newest.length - 1] = key
            newest.values[number, :, :, newest.length - 1] = value
        return self._finish(x, attend(segments, number, query))

    def encode(
        self, x: Tensor, counts: list[torch.Size], parents: list[Tensor], *, is_last: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Transform all tokens of a prefix tree.

        Args:
            x: (tokens, width), the levels one after the other, each (nodes, time).
            counts: (nodes, time) of each level.
            parents: (nodes,) of each level.
            is_last: leave ``x`` as it is, because only keys and values are wanted.

        Returns:
            The transformed tokens, and keys and values of whole paths, (last level's nodes, heads, path, head_dim).
        """
        qkv = torch.split(self.qkv(_normalize(x)), [nodes * time for nodes, time in counts])
        keys = values = x.new_empty(1, self.n_head, 0, self.head_dim)
        mixed = []
        for part, (nodes, time), parent in zip(qkv, counts, parents, strict=True):
            query, key, value = part.view(nodes, time, 3, self.n_head, self.head_dim).permute(2, 0, 3, 1, 4)
            keys, values = torch.cat([keys[parent], key], 2), torch.cat([values[parent], value], 2)
            if not is_last:
                mixed.append(_causal_attention(query, keys, values).transpose(1, 2).reshape(nodes * time, -1))
        return (x if is_last else self._finish(x, torch.cat(mixed))), keys, values

    def _finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The block after attention: projection, feed-forward network, and both residuals."""
        x = self.projection.add_to(x, mixed)
        return self.mlp_out.add_to(x, self.mlp_in.gelu(_normalize(x)))


def _causal_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of the newest (nodes, heads, time, head_dim) tokens, already scaled, to their whole path."""
    time, path = query.shape[2], keys.shape[2]
    hidden = torch.ones(time, path, dtype=torch.bool, device=query.device).triu(path - time + 1)
    scores = (query @ keys.transpose(2, 3)).masked_fill_(hidden, -math.inf)
    return torch.softmax(scores, dim=3) @ values


def _normalize(x: Tensor) -> Tensor:
    """Layer norm over the last axis without scale and shift, which live in the linear layer that follows."""
    return functional.layer_norm(x, x.shape[-1:])


def _fold(norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None, scale: Tensor | None = None) -> PackedLinear:
    """A linear layer (outputs, inputs) with the scale and shift of the norm before it, and a scale after it."""
    wide = weight.detach().double()
    shift = wide @ norm.bias.detach().double() + (0 if bias is None else bias.detach().double())
    wide = wide * norm.weight.detach().double()
    if scale is not None:
        wide, shift = wide * scale[:, None], shift * scale
    return PackedLinear(wide, shift)


def _embedding_by_dimension(model: GPT) -> Tensor:
    """The token table as (transition_dim, bins + 1, width), the stop token's row repeated for each dimension."""
    table = model.token_embedding.weight.detach().float()
    stop = table[-1].expand(model.transition_dim, 1, -1)
    return torch.cat([table[:-1].view(model.transition_dim, model.bins, -1), stop], dim=1)
