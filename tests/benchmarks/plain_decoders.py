"""Decoders as one would first write them, two of them as the originals did; all keep the decoder contract.

Each is an algorithm, exact and in our own words, so that all of them can be timed in one run without the originals'
code: they see what ours sees, value tokens masked, and slide as ours does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.models.block import Block
from seqrl_cli.models.decoding.interface import Decoder, Window
from seqrl_cli.models.gpt.model import GPT


@dataclass
class PlainState:
    """Tokens (rows, time) in the window and, for each layer, what is kept of them, (…, rows, …) with rows second."""

    groups: int
    tokens: Tensor
    cache: list[Tensor]

    def expand(self, copies: int) -> PlainState:
        """Copy every row."""
        return self._take(torch.arange(len(self.tokens)).repeat_interleave(copies))

    def select(self, index: Tensor) -> PlainState:
        """Copy the kept rows."""
        first = torch.arange(self.groups)[:, None] * (len(self.tokens) // self.groups)
        return self._take((index + first).flatten())

    def _take(self, rows: Tensor) -> PlainState:
        return PlainState(self.groups, self.tokens[rows], [layer[:, rows] for layer in self.cache])


class Reencoding(Decoder):
    """Run the model on the whole window of every beam for every token, as the Trajectory Transformer does."""

    def __init__(self, model: GPT, window: Window) -> None:
        self.model, self.window, self.device = model, window, model.position_embedding.device
        self.bins, self.observation_dim, self.action_dim = model.bins, model.observation_dim, model.action_dim

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Nothing is kept."""
        return 0

    def prefill(self, tokens: Tensor) -> tuple[Tensor, PlainState]:
        """Cut to the window and encode."""
        tokens = tokens[:, self.window.overflow(tokens.shape[1], self.model.transition_dim) :]
        return self.model(tokens)[:, -1], PlainState(len(tokens), tokens, [])

    def step(self, tokens: Tensor, state: PlainState) -> tuple[Tensor, PlainState]:
        """Append, cut, encode."""
        state.tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)
        if self.window.slides:
            overflow = self.window.overflow(state.tokens.shape[1], self.model.transition_dim)
            state.tokens = state.tokens[:, overflow:]
        return self.model(state.tokens)[:, -1], state


class PlainCache(Reencoding):
    """A key/value cache of each row, copied when rows are, rebuilt for each row when the window slides."""

    def prefill(self, tokens: Tensor) -> tuple[Tensor, PlainState]:
        """Cut to the window and fill the cache."""
        tokens = tokens[:, self.window.overflow(tokens.shape[1], self.model.transition_dim) :]
        return self._feed(tokens, PlainState(len(tokens), tokens[:, :0], []))

    def step(self, tokens: Tensor, state: PlainState) -> tuple[Tensor, PlainState]:
        """Append to the cache, or fill it anew."""
        length = state.tokens.shape[1] + 1
        overflow = self.window.overflow(length, self.model.transition_dim) if self.window.slides else 0
        if overflow:
            tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)[:, overflow:]
            return self._feed(tokens, PlainState(state.groups, tokens[:, :0], []))
        return self._feed(tokens[:, None], state)

    def _feed(self, tokens: Tensor, state: PlainState) -> tuple[Tensor, PlainState]:
        first = state.tokens.shape[1]
        state.tokens = torch.cat([state.tokens, tokens], dim=1)
        visible = self.model.visible[first : state.tokens.shape[1], : state.tokens.shape[1]]
        x, cache = self.model.embed(tokens, first), state.cache
        state.cache = []
        for number, block in enumerate(self.model.blocks):
            query, key, value = block.split_heads(block.norm_attention(x))
            past = torch.stack([key, value])
            past = torch.cat([cache[number], past], dim=3) if cache else past
            state.cache.append(past)
            mixed = functional.scaled_dot_product_attention(query, *past, attn_mask=visible)
            x = x + block.projection(mixed.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.norm_mlp(x))
        return self.model.head(self.model.norm(x[:, -1:]), state.tokens.shape[1] - 1)[:, 0], state


class CachedInputs(PlainCache):
    """A cache of each layer's normed inputs, projected to keys and values again for every token.

    As the faster Trajectory Transformer does; rows are copied when beams are, the context with them.
    """

    def _feed(self, tokens: Tensor, state: PlainState) -> tuple[Tensor, PlainState]:
        first = state.tokens.shape[1]
        state.tokens = torch.cat([state.tokens, tokens], dim=1)
        visible = self.model.visible[first : state.tokens.shape[1], : state.tokens.shape[1]]
        x, cache = self.model.embed(tokens, first), state.cache
        state.cache = []
        for number, block in enumerate(self.model.blocks):
            normed = block.norm_attention(x)
            inputs = torch.cat([cache[number][0], normed], dim=1) if cache else normed
            state.cache.append(inputs[None])
            query, key, value = _project(block, normed, inputs)
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
            x = x + block.projection(mixed.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.norm_mlp(x))
        return self.model.head(self.model.norm(x[:, -1:]), state.tokens.shape[1] - 1)[:, 0], state


def _project(block: Block, newest: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the newest inputs (rows, new, width), keys and values of all: (rows, heads, ..., head_dim)."""
    projected = block.query(newest), block.key(inputs), block.value(inputs)
    query, key, value = (each.unflatten(2, (block.n_head, -1)).transpose(1, 2) for each in projected)
    return query, key, value


PLAIN = {"plain": PlainCache, "cached-inputs": CachedInputs, "reencoding": Reencoding}
"""By the names that the benchmark takes."""
