"""One block of a RetNet in its decoder, for one token per row and for a tree of sequences.

Retention is scaled by 1/sqrt(key_dim) and by what has been seen so far, and then divided by its own length (see
:func:`~seqrl_cli.models.retnet.model.position_factors`). All of these scales cancel but for the epsilon of that norm,
so a decoder leaves them out and is handed the epsilon that makes up for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqrl_cli.models.decoding.invariant_linear import DecoderLinear, MakeLinear, merged, merged_weight
from seqrl_cli.models.retnet.model import NORM_EPS, RetentionBlock
from seqrl_cli.models.retnet.retention import rotate_state


@dataclass(frozen=True)
class TreeLevel:
    """A level of a prefix tree, and what the places of its tokens do to them; the same in all layers.

    Attributes:
        nodes: distinct sequences.
        time: tokens of each that are encoded.
        parent: (nodes,) int64, the node of the level before that each continues.
        turned: (2, 1, heads, time, pairs) complex, what queries and keys are multiplied by.
        passing: (heads, 1, pairs) complex, what the memory is multiplied by before; None for nothing.
    """

    nodes: int
    time: int
    parent: Tensor
    turned: Tensor
    passing: Tensor | None


class RetNetLayer:
    """One block of a RetNet with its norms folded into its linear layers.

    Args:
        block: the weights.
        make: makes its linear layers.
    """

    def __init__(self, block: RetentionBlock, make: MakeLinear) -> None:
        self.n_head = block.n_head
        self.width, self.value_width = block.sizes[0], block.sizes[2]
        query, key, value, gate = merged_weight(block.qkvg).split(block.sizes)
        self.qkv = fold_norm(block.norm_retention, torch.cat([query, key, value]), None, make)
        self.key_value = fold_norm(block.norm_retention, torch.cat([key, value]), None, make)
        self.gate = fold_norm(block.norm_retention, gate, None, make)
        self.projection = make(*merged(block.projection))
        self.mlp_in, self.mlp_gate = (
            fold_norm(block.norm_mlp, part, None, make) for part in merged_weight(block.mlp_in).chunk(2)
        )
        self.mlp_out = make(*merged(block.mlp_out))

    def project(self, x: Tensor, turned: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value (rows, heads, dim) of one token per row, and gate (rows, value_width).

        Args:
            x: (rows, width).
            turned: (2, heads, pairs) complex, what queries and keys are multiplied by.
        """
        normed = normalize(x)
        both, value = self.qkv(normed).split([2 * self.width, self.value_width], dim=1)
        pairs = torch.view_as_complex(both.unflatten(1, (2, self.n_head, -1, 2)))
        query, key = torch.view_as_real(pairs * turned).flatten(3).unbind(1)
        return query, key, value.unflatten(1, (self.n_head, -1)), self.gate.silu(normed)

    def finish(self, x: Tensor, mixed: Tensor, gate: Tensor, eps: Tensor) -> Tensor:
        """The block after retention.

        Args:
            x: (rows, width).
            mixed: (rows, heads, value_dim).
            gate: (rows, value_width).
            eps: (rows or 1, heads, 1), of the norm of ``mixed``.

        Returns:
            (rows, width).
        """
        x = self.projection.add_residual(x, normalize(mixed, eps).flatten(1) * gate)
        normed = normalize(x)
        return self.mlp_out.add_residual(x, self.mlp_gate.gated(self.mlp_in.gelu(normed), normed))

    def encode(
        self, x: Tensor, root: Tensor | None, tree: list[TreeLevel], eps: Tensor, is_last: bool
    ) -> tuple[Tensor, Tensor]:
        """Transform all tokens of a prefix tree.

        Args:
            x: (tokens, width), the levels one after the other, each (nodes, time).
            root: (nodes, heads, key_dim, value_dim), what came before the first level; None for nothing.
            tree: its levels.
            eps: (tokens, heads, 1), of the norm of what retention gives.
            is_last: compute only the memory; ``x`` is returned unchanged.

        Returns:
            The transformed tokens, and the memory after the last level, (nodes, heads, key_dim, value_dim).
        """
        normed, memory, mixed = normalize(x), root, []
        joined = self.key_value(normed) if is_last else self.qkv(normed)
        for part, level in zip(joined.split([each.nodes * each.time for each in tree]), tree, strict=True):
            turned, value = self._heads(part, level)
            memory = _continued(memory, level)
            if not is_last:
                mixed.append(_read_level(turned[0], turned[1], value, memory).transpose(1, 2).flatten(0, 1))
            memory = _update_memory(turned[-1], value, memory)
        if not is_last:
            x = self.finish(x, torch.cat(mixed), self.gate.silu(normed), eps)
        assert memory is not None
        return x, memory

    def _heads(self, part: Tensor, level: TreeLevel) -> tuple[Tensor, Tensor]:
        """Keys, after queries if there are any, turned, (1 or 2, nodes, heads, time, key_dim); values likewise.

        They are laid out alike however many nodes there are, so that products of them add in the same order.
        """
        part = part.view(level.nodes, level.time, -1)
        both, value = part.split([part.shape[2] - self.value_width, self.value_width], dim=2)
        pairs = torch.view_as_complex(both.unflatten(2, (-1, self.n_head, self.width // self.n_head // 2, 2)))
        pairs = pairs.permute(2, 0, 3, 1, 4)
        turned = pairs.new_empty(pairs.shape)
        torch.mul(pairs, level.turned[-len(pairs) :], out=turned)
        value = value.unflatten(2, (self.n_head, -1)).transpose(1, 2).contiguous()
        return torch.view_as_real(turned).flatten(4), value


def _continued(memory: Tensor | None, level: TreeLevel) -> Tensor | None:
    """What a level's nodes remember of the levels before."""
    if memory is None:
        return None
    if level.passing is not None:
        memory = rotate_state(memory, level.passing).contiguous()
    return memory[level.parent]


def _read_level(query: Tensor, key: Tensor, value: Tensor, memory: Tensor | None) -> Tensor:
    """What a level's tokens read of one another and of the memory before, (nodes, heads, time, value_dim)."""
    time = query.shape[2]
    seen = torch.ones(time, time, device=query.device).tril()
    weights = torch.bmm(query.flatten(0, 1), key.flatten(0, 1).mT).mul_(seen)
    if memory is None:
        return torch.bmm(weights, value.flatten(0, 1)).view(value.shape)
    before = torch.bmm(query.flatten(0, 1), memory.flatten(0, 1))
    return torch.baddbmm(before, weights, value.flatten(0, 1)).view(value.shape)


def _update_memory(key: Tensor, value: Tensor, memory: Tensor | None) -> Tensor:
    """The memory after a level, (nodes, heads, key_dim, value_dim)."""
    transposed, value_ = key.flatten(0, 1).mT, value.flatten(0, 1)
    shape = (*key.shape[:2], key.shape[3], value.shape[3])
    if memory is None:
        return torch.bmm(transposed, value_).view(shape)
    return torch.baddbmm(memory.flatten(0, 1), transposed, value_).view(shape)


def normalize(x: Tensor, eps: Tensor | float = NORM_EPS) -> Tensor:
    """RMS norm over the last axis without scale, which is folded into the next linear layer."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * length.square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()


def fold_norm(norm: nn.RMSNorm, weight: Tensor, bias: Tensor | None, make: MakeLinear) -> DecoderLinear:
    """A linear layer (outputs, inputs) with the scale of the norm before it."""
    return make(weight.detach().double() * norm.weight.detach().double(), bias)
