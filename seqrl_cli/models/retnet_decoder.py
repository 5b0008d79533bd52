"""A RetNet as a decoder: a memory of constant size, shared by rows until they diverge.

Decoding is retention's chunkwise form with a transition as chunk. A row's memory is a base, which several rows share
after an ``expand``, and the few keys and values since; only when rows are chosen anew, or a transition is full, are
these folded into a base of the row's own. So a step reads a base once for all rows that share it, and writes none.

Between folds neither base nor keys are touched by time: a token at p steps after the base has its key scaled by g^-p
and turned by p steps, and a query at p is scaled by g^p and turned likewise. As p stays within a transition, no power
grows large; see :mod:`~seqrl_cli.models.retention` for what the memory means.

As for the GPT, an episode's logits do not depend on the episodes beside it, bit for bit: every operation treats rows or
bases alike and one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.models.decoder import Window
from seqrl_cli.models.decoder_prefixes import Level, prefix_levels
from seqrl_cli.models.retention import head_decays, pair_angles, rotate, turns
from seqrl_cli.models.retnet import Block, RetNet, Timing, make_timing
from seqrl_cli.models.retnet_layer import Layer, fold_norm, normalize

PREFILL_TRANSITIONS = 8
"""Transitions of the known past that are encoded at once, in parallel; what is longer goes chunk by chunk."""


@dataclass(frozen=True)
class EpisodeMemory:
    """What a RetNet remembers of one episode.

    Attributes:
        layers: (layers, heads, value_dim, key_dim).
        past: tokens consumed.
    """

    layers: Tensor
    past: int


@dataclass
class RetNetState:
    """Rows of a RetNet decoder.

    Attributes:
        groups: episodes.
        rows: sequences, the same number in each group.
        dim: the dimension of the next token.
        past: (groups,) int64, tokens consumed before the bases; (1,) when they are equally many in all groups.
        base: (layers, bases, heads, value_dim, key_dim), what equally many consecutive rows each share.
        keys: (layers, rows or more, heads, columns, key_dim), keys since, scaled and turned as the base needs it.
        values: (layers, rows or more, heads, columns, value_dim).
        filled: columns in use.
        passed: tokens since the bases, those that are not remembered included.
        tokens: (rows, time) int64, the tokens in a sliding window; None when the window does not slide.
        kept: (bases to be,) int64, the rows that go on, when rows have changed since the last step.
        copies: how many rows each of them becomes.
    """

    groups: int
    rows: int
    dim: int
    past: Tensor
    base: Tensor
    keys: Tensor
    values: Tensor
    filled: int = 0
    passed: int = 0
    tokens: Tensor | None = None
    kept: Tensor | None = None
    copies: int = 1

    def expand(self, copies: int) -> RetNetState:
        """Make each row ``copies`` rows."""
        self.kept = self.chosen()
        self.copies *= copies
        return self

    def select(self, index: Tensor) -> RetNetState:
        """Keep rows ``index`` (groups, kept) of each group."""
        rows = self.chosen().repeat_interleave(self.copies).view(self.groups, -1)
        self.kept, self.copies = rows.gather(1, index).flatten(), 1
        return self

    def chosen(self) -> Tensor:
        """The rows that go on, not yet copied."""
        return torch.arange(self.rows, device=self.base.device) if self.kept is None else self.kept

    def start_columns(self, rows: int) -> None:
        """Begin with no token since the bases, for so many rows."""
        if rows > self.keys.shape[1]:
            self.keys = self.keys.new_empty(len(self.keys), rows, *self.keys.shape[2:])
            self.values = self.values.new_empty(len(self.values), rows, *self.values.shape[2:])
        self.rows, self.filled, self.passed, self.kept, self.copies = rows, 0, 0, None, 1


class RetNetDecoder:
    """Decode with a RetNet, a token at a time, to the same logits as if all of its context were encoded each time.

    Args:
        model: the weights; they are copied, so later training does not reach the decoder.
        window: which part of the sequence is seen; None for all of it, however long.
    """

    def __init__(self, model: RetNet, window: Window | None) -> None:
        self.bins = model.bins
        self.observation_dim, self.action_dim = model.observation_dim, model.action_dim
        self.transition_dim = model.transition_dim
        self.window, self.device = window, model.head.weight.device
        self.remembered = model.remembers(torch.arange(self.transition_dim, device=self.device))
        self.is_remembered = self.remembered.tolist()
        self.embedding = _embedding_by_dimension(model)
        self.layers = [Layer(block) for block in model.blocks if isinstance(block, Block)]
        maps = [model.head.linear(dim) for dim in range(self.transition_dim)]
        self.heads = [fold_norm(model.norm, weight, bias) for weight, bias in maps]
        self.n_head, self.key_dim, self.value_dim = model.n_head, model.key_dim, self.layers[0].value_dim
        self.memories: Sequence[EpisodeMemory] | None = None
        self._tabulate()

    def after(self, memories: Sequence[EpisodeMemory]) -> RetNetDecoder:
        """This decoder for sequences that follow on so many memories: ``prefill`` takes a group for each."""
        continued = copy.copy(self)
        continued.memories = memories
        return continued

    @torch.inference_mode()
    def remember(self, tokens: Tensor) -> list[EpisodeMemory]:
        """Consume whole transitions, (groups, time), that follow on the memories; the memories then."""
        state = self._begin(len(tokens))
        self._encode(state, *self._chunks(tokens))
        past = state.past.expand(len(tokens)).tolist()
        return [EpisodeMemory(layers, count) for layers, count in zip(state.base.unbind(1), past, strict=True)]

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, RetNetState]:
        """Consume (groups, time) tokens, the newest that the window holds; logits (groups, bins + 1)."""
        if self.window:
            tokens = tokens[:, self.window.overflow(tokens.shape[1], self.transition_dim) :]
        state = self._begin(len(tokens))
        if tokens.shape[1] > 1:
            self._encode(state, *self._chunks(tokens[:, :-1]))
        if self.window and self.window.slides:
            state.tokens = tokens[:, :-1]
        return self.step(tokens[:, -1], state)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: RetNetState) -> tuple[Tensor, RetNetState]:
        """Consume (rows,) tokens; logits (rows, bins + 1)."""
        self._settle(state)
        if state.tokens is not None:
            state.tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)
        dim, column = state.dim, state.filled
        state.filled += self.is_remembered[dim]
        turned = self._turned(state)
        x = functional.embedding(tokens, self.embedding[dim])
        for number, layer in enumerate(self.layers):
            query, key, value, gate = layer.project(x, turned)
            if self.is_remembered[dim]:
                state.keys[number, : state.rows, :, column] = key
                state.values[number, : state.rows, :, column] = value
            x = layer.finish(x, _read(state, number, query), gate)
        state.passed += 1
        state.dim = (dim + 1) % self.transition_dim
        return self.heads[dim](normalize(x)), state

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Most memory that planning takes for one group, in bytes: bases, twice while they are folded, and the rest."""
        base = beam_width * self.key_dim * self.value_dim
        newest = beam_width * n_expand * self.transition_dim * (self.key_dim + self.value_dim)
        return 4 * len(self.layers) * self.n_head * (2 * base + newest)

    def _begin(self, groups: int) -> RetNetState:
        """A state of one row a group that has consumed nothing since its memory."""
        sizes = (len(self.layers), groups, self.n_head)
        if self.memories is None:
            past = torch.zeros(1, dtype=torch.int64, device=self.device)
            base = torch.zeros(*sizes, self.value_dim, self.key_dim, device=self.device)
        else:
            assert len(self.memories) == groups
            past = torch.tensor([memory.past for memory in self.memories], device=self.device)
            base = torch.stack([memory.layers for memory in self.memories], dim=1)
        keys = torch.empty(*sizes, self.transition_dim, self.key_dim, device=self.device)
        values = torch.empty(*sizes, self.transition_dim, self.value_dim, device=self.device)
        return RetNetState(groups, groups, int(past[0]) % self.transition_dim, past, base, keys, values)

    def _settle(self, state: RetNetState) -> None:
        """Make room for one more token: slide the window, or fold when rows have changed or a transition is full."""
        if self.window is not None and state.tokens is not None:
            if state.kept is not None:
                state.tokens = state.tokens[state.kept].repeat_interleave(state.copies, 0)
            overflow = self.window.overflow(state.tokens.shape[1] + 1, self.transition_dim)
            if overflow:
                state.tokens = state.tokens[:, overflow:]
                state.past, state.dim = torch.zeros_like(state.past), 0
                self._encode(state, *prefix_levels(state.tokens, self.transition_dim))
                return
        if state.kept is not None or state.passed == self.transition_dim:
            self._fold(state)

    def _fold(self, state: RetNetState) -> None:
        """Give the rows that go on bases of their own, which hold all of their past and which their copies share."""
        kept = state.chosen()
        base = state.base.index_select(1, kept // (state.rows // state.base.shape[1]))
        if state.filled:
            keys, values = (
                part[:, :, :, : state.filled].index_select(1, kept).flatten(0, 2) for part in (state.keys, state.values)
            )
            base = torch.baddbmm(base.flatten(0, 2), values.mT, keys).view(base.shape)
        state.base = rotate(base, self.folded[state.passed])
        state.past = state.past + state.passed
        state.start_columns(len(kept) * state.copies)

    def _encode(self, state: RetNetState, levels: list[Level], node: Tensor) -> None:
        """Make the bases anew, out of a tree of sequences that follow on the memories, if there are any.

        Args:
            state: of which the bases, when they hold memories, are the roots of the tree.
            levels: the tree.
            node: (rows,) int64, the last level's node at which each row ends.
        """
        x = torch.cat([self._embed(level, state.dim).flatten(0, 1) for level in levels])
        timings = [self._timing(level, state) for level in levels]
        bases = []
        for number, layer in enumerate(self.layers):
            root = None if self.memories is None else state.base[number]
            x, base = layer.encode(x, root, levels, timings, layer is self.layers[-1])
            bases.append(base[node])
        length = levels[-1].first + levels[-1].tokens.shape[1]
        state.base, state.past = torch.stack(bases), state.past + length
        state.dim = (state.dim + length) % self.transition_dim
        state.start_columns(len(node))

    def _chunks(self, tokens: Tensor) -> tuple[list[Level], Tensor]:
        """Sequences (groups, time) as levels of a tree that never branches, and the last level's node of each."""
        size, node = PREFILL_TRANSITIONS * self.transition_dim, torch.arange(len(tokens), device=tokens.device)
        return [Level(i * size, piece, node) for i, piece in enumerate(tokens.split(size, dim=1))], node

    def _embed(self, level: Level, dim: int) -> Tensor:
        """Inputs of the first layer for a level's tokens, (nodes, time, width); ``dim`` is the tree's first token's."""
        rows = level.tokens + self._dims(level, dim) * (self.bins + 1)
        return functional.embedding(rows, self.embedding.flatten(0, 1))

    def _timing(self, level: Level, state: RetNetState) -> Timing:
        """What the places of a level's tokens do to them."""
        remembered = self.remembered[self._dims(level, state.dim)]
        return make_timing(self.n_head, self.key_dim, state.past + level.first, remembered, torch.float32)

    def _dims(self, level: Level, dim: int) -> Tensor:
        """The dimensions of a level's tokens, (time,) int64."""
        return (torch.arange(level.tokens.shape[1], device=self.device) + dim + level.first) % self.transition_dim

    def _tabulate(self) -> None:
        """Scale and turn of queries and keys, and of a fold, for each number of steps since the base."""
        self.decay, angles = head_decays(self.n_head, self.device), pair_angles(self.key_dim, self.device)
        steps = torch.arange(self.transition_dim + 1, device=self.device)
        grown, turned = (self.decay ** steps[:, None])[..., None], turns(angles, steps)[:, None]
        both = torch.stack([turned * grown / self.key_dim**0.5, turned / grown], dim=1)
        self.turned = both.to(torch.complex64)  # (steps, 2, heads, pairs)
        self.folded = (turned.conj() * grown)[:, :, None].to(torch.complex64)  # (steps, heads, 1, pairs)

    def _turned(self, state: RetNetState) -> Tensor:
        """What the newest tokens' queries and keys are multiplied by, (rows or 1, 2, heads, pairs) complex."""
        seen = (1 - self.decay ** (state.past[:, None] + state.passed + 1)) / (1 - self.decay)
        scale = torch.stack([seen.rsqrt(), torch.ones_like(seen)], dim=1)[..., None].float()
        turned: Tensor = self.turned[state.passed] * scale
        return turned if len(turned) == 1 else turned.repeat_interleave(state.rows // state.groups, 0)


def _read(state: RetNetState, number: int, query: Tensor) -> Tensor:
    """What queries (rows, heads, key_dim) read out of base and columns of a layer, (rows, heads, value_dim)."""
    base = state.base[number]
    grouped = query.unflatten(0, (len(base), -1)).transpose(1, 2).flatten(0, 1)
    mixed = torch.bmm(grouped, base.flatten(0, 1).mT)
    mixed = mixed.unflatten(0, base.shape[:2]).transpose(1, 2).flatten(0, 1)
    if not state.filled:
        return mixed
    keys, values = (part[number, : state.rows, :, : state.filled].flatten(0, 1) for part in (state.keys, state.values))
    weights = torch.bmm(query.flatten(0, 1)[:, None], keys.mT)
    return torch.baddbmm(mixed.flatten(0, 1)[:, None], weights, values).view(mixed.shape)


def _embedding_by_dimension(model: RetNet) -> Tensor:
    """The token table as (transition_dim, bins + 1, width), the stop token's row repeated for each dimension."""
    table = model.token_embedding.weight.detach().float()
    stop = table[-1].expand(model.transition_dim, 1, -1)
    return torch.cat([table[:-1].view(model.transition_dim, model.bins, -1), stop], dim=1)
