"""One block of a RetNet as its decoder computes it: for one token a row, and for a tree of sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.decoder_linear import PackedLinear
from seqrl_cli.models.decoder_prefixes import Level
from seqrl_cli.models.retention import leave, remember, retain_parallel, rotate
from seqrl_cli.models.retnet import NORM_EPS, Block, Timing


class Layer:
    """One block of a RetNet with its norms folded into its linear layers."""

    def __init__(self, block: Block) -> None:
        self.n_head = block.n_head
        self.width, self.value_dim = block.sizes[0], block.sizes[2] // block.n_head
        *parts, gate = block.qkvg.weight.split(block.sizes)
        self.qkv, self.gate = fold_norm(block.norm_retention, torch.cat(parts)), fold_norm(block.norm_retention, gate)
        self.projection = PackedLinear(block.projection.weight)
        self.mlp_in, self.mlp_gate = (fold_norm(block.norm_mlp, part) for part in block.mlp_in.weight.chunk(2))
        self.mlp_out = PackedLinear(block.mlp_out.weight)

    def project(self, x: Tensor, turned: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value (rows, heads, dim) of one token a row, turned, and gate (rows, value_width)."""
        normed = normalize(x)
        both, value = self.qkv(normed).split([2 * self.width, self.n_head * self.value_dim], dim=1)
        query, key = rotate(both.unflatten(1, (2, self.n_head, -1)), turned).unbind(1)
        return query, key, value.unflatten(1, (self.n_head, -1)), self.gate.silu(normed)

    def finish(self, x: Tensor, mixed: Tensor, gate: Tensor) -> Tensor:
        """The block after retention, of ``mixed`` (rows, heads, value_dim); ``x`` and result (rows, width)."""
        x = self.projection.add_to(x, normalize(mixed).flatten(1) * gate)
        normed = normalize(x)
        return self.mlp_out.add_to(x, self.mlp_in.gelu(normed) * self.mlp_gate(normed))

    def encode(
        self, x: Tensor, root: Tensor | None, levels: list[Level], timings: list[Timing], is_last: bool
    ) -> tuple[Tensor, Tensor]:
        """Transform all tokens of a prefix tree.

        Args:
            x: (tokens, width), the levels one after the other, each (nodes, time).
            root: (nodes, heads, value_dim, key_dim), what came before the first level; None for nothing.
            levels: the tree.
            timings: of each level's tokens.
            is_last: leave ``x`` as it is, because only the memory is wanted.

        Returns:
            The transformed tokens, and the memory after the last level, (nodes, heads, value_dim, key_dim).
        """
        normed, sizes = normalize(x), [self.width, self.width, self.n_head * self.value_dim]
        joined = self.qkv(normed).split([level.tokens.numel() for level in levels])
        memory, mixed = None if root is None else root.mT, []
        for part, level, timing in zip(joined, levels, timings, strict=True):
            parts = part.view(*level.tokens.shape, -1).split(sizes, dim=2)
            # laid out alike however many nodes there are, so that the products below add in the same order
            query, key, value = (each.unflatten(2, (self.n_head, -1)).transpose(1, 2).contiguous() for each in parts)
            key, memory = rotate(key, timing.key), None if memory is None else memory[level.parent]
            if is_last:
                memory = remember(key, value, timing.decay, memory)
            else:
                own, memory = retain_parallel(rotate(query, timing.query), key, value, timing.decay, memory)
                mixed.append(own.transpose(1, 2).flatten(0, 1))
            memory = leave(memory, timing.after)
        if not is_last:
            x = self.finish(x, torch.cat(mixed), self.gate.silu(normed))
        assert memory is not None
        return x, memory.mT


def normalize(x: Tensor) -> Tensor:
    """RMS norm over the last axis without scale, which lives in the linear layer that follows."""
    return functional.rms_norm(x, x.shape[-1:], eps=NORM_EPS)


def fold_norm(norm: nn.RMSNorm, weight: Tensor, bias: Tensor | None = None) -> PackedLinear:
    """A linear layer (outputs, inputs) with the scale of the norm before it."""
    return PackedLinear(weight.detach().double() * norm.weight.detach().double(), bias)
