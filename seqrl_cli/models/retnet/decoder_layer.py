"""One block of a RetNet in its decoder, for one token per row and for a tree of sequences.

The model scales queries by 1/sqrt(key_dim) and 1/sqrt(1 + g + ... + g^n), and normalizes the output of retention (see
:func:`~seqrl_cli.models.retnet.block.position_factors`). Up to the norm's epsilon these scales cancel. So the decoder
omits them, and each token gets an epsilon that makes up for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqrl_cli.models.decoding.invariant_linear import DecoderLinear, MakeLinear, merged, merged_weight
from seqrl_cli.models.retnet.block import NORM_EPS, RetentionBlock
from seqrl_cli.models.retnet.retention import rotate_state


@dataclass(frozen=True)
class TreeLevel:
    """A level of a prefix tree and the factors of its positions; the same in all layers.

    Attributes:
        nodes: distinct sequences.
        time: tokens of each that are encoded, those that write to the state.
        parent: (nodes,) int64, the node of the previous level that each continues.
        phases: (2, 1, heads, time, pairs) complex, factors of queries and keys.
        rebase: (heads, 1, pairs) complex, factor of the state before this level; None if it is one.
    """

    nodes: int
    time: int
    parent: Tensor
    phases: Tensor
    rebase: Tensor | None


class RetNetLayer:
    """One block of a RetNet with its norms folded into its linear layers.

    Args:
        block: the weights.
        make: makes its linear layers.
    """

    def __init__(self, block: RetentionBlock, make: MakeLinear) -> None:
        self.n_head = block.n_head
        self.width = block.sizes[0]
        self.value_width = block.sizes[2]
        query, key, value, gate = merged_weight(block.qkvg).split(block.sizes)
        self.qkv = fold_norm(block.norm_retention, torch.cat([query, key, value]), None, make)
        self.key_value = fold_norm(block.norm_retention, torch.cat([key, value]), None, make)
        self.gate = fold_norm(block.norm_retention, gate, None, make)
        self.projection = make(*merged(block.projection))
        self.mlp_in, self.mlp_gate = (
            fold_norm(block.norm_mlp, part, None, make) for part in merged_weight(block.mlp_in).chunk(2)
        )
        self.mlp_out = make(*merged(block.mlp_out))

    def project(self, x: Tensor, phases: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value (rows, heads, dim) of one token per row, and gate (rows, value_width).

        Args:
            x: (rows, width).
            phases: (2, heads, pairs) complex, factors of queries and keys.
        """
        normed = normalize(x)
        both, value = self.qkv(normed).split([2 * self.width, self.value_width], dim=1)
        pairs = torch.view_as_complex(both.unflatten(1, (2, self.n_head, -1, 2)))
        query, key = torch.view_as_real(pairs * phases).flatten(3).unbind(1)
        return query, key, value.unflatten(1, (self.n_head, -1)), self.gate.silu(normed)

    def finish(self, x: Tensor, retention_out: Tensor, gate: Tensor, eps: Tensor) -> Tensor:
        """The block after retention.

        Args:
            x: (rows, width).
            retention_out: (rows, heads, value_dim).
            gate: (rows, value_width).
            eps: (rows or 1, heads, 1), of the norm of ``retention_out``.

        Returns:
            (rows, width).
        """
        x = self.projection.add_residual(x, normalize(retention_out, eps).flatten(1) * gate)
        normed = normalize(x)
        return self.mlp_out.add_residual(x, self.mlp_gate.gated(self.mlp_in.gelu(normed), normed))

    def encode(
        self, x: Tensor, root: Tensor | None, tree: list[TreeLevel], eps: Tensor, is_last: bool
    ) -> tuple[Tensor, Tensor]:
        """Transform all tokens of a prefix tree.

        Args:
            x: (tokens, width), the levels one after the other, each (nodes, time).
            root: (nodes, heads, key_dim, value_dim), the state before the first level; None for a zero state.
            tree: the levels.
            eps: (tokens, heads, 1), of the norm after retention.
            is_last: compute only the state; ``x`` is returned unchanged.

        Returns:
            The transformed tokens, and the state after the last level, (nodes, heads, key_dim, value_dim).
        """
        normed = normalize(x)
        state = root
        outputs = []
        joined = self.key_value(normed) if is_last else self.qkv(normed)
        for part, level in zip(joined.split([each.nodes * each.time for each in tree]), tree, strict=True):
            query_key, value = self._heads(part, level)
            state = _continued(state, level)
            if not is_last:
                outputs.append(_read_level(query_key[0], query_key[1], value, state).transpose(1, 2).flatten(0, 1))
            state = _update_state(query_key[-1], value, state)
        if not is_last:
            x = self.finish(x, torch.cat(outputs), self.gate.silu(normed), eps)
        assert state is not None
        return x, state

    def _heads(self, part: Tensor, level: TreeLevel) -> tuple[Tensor, Tensor]:
        """Rotated queries and keys, or keys alone, (2 or 1, nodes, heads, time, key_dim); values of the same layout.

        The layout does not depend on the number of nodes, so their products always add in the same order.
        """
        part = part.view(level.nodes, level.time, -1)
        both, value = part.split([part.shape[2] - self.value_width, self.value_width], dim=2)
        pairs = torch.view_as_complex(both.unflatten(2, (-1, self.n_head, self.width // self.n_head // 2, 2)))
        pairs = pairs.permute(2, 0, 3, 1, 4)
        rotated = pairs.new_empty(pairs.shape)
        torch.mul(pairs, level.phases[-len(pairs) :], out=rotated)
        value = value.unflatten(2, (self.n_head, -1)).transpose(1, 2).contiguous()
        return torch.view_as_real(rotated).flatten(4), value


def _continued(state: Tensor | None, level: TreeLevel) -> Tensor | None:
    """The state that each node of a level continues."""
    if state is None:
        return None
    if level.rebase is not None:
        state = rotate_state(state, level.rebase).contiguous()
    return state[level.parent]


def _read_level(query: Tensor, key: Tensor, value: Tensor, state: Tensor | None) -> Tensor:
    """The retention output of a level's tokens, (nodes, heads, time, value_dim); ``state`` precedes the level."""
    time = query.shape[2]
    causal = torch.ones(time, time, device=query.device).tril()
    weights = torch.bmm(query.flatten(0, 1), key.flatten(0, 1).mT).mul_(causal)
    if state is None:
        return torch.bmm(weights, value.flatten(0, 1)).view(value.shape)
    before = torch.bmm(query.flatten(0, 1), state.flatten(0, 1))
    return torch.baddbmm(before, weights, value.flatten(0, 1)).view(value.shape)


def _update_state(key: Tensor, value: Tensor, state: Tensor | None) -> Tensor:
    """The state after a level, (nodes, heads, key_dim, value_dim)."""
    keys = key.flatten(0, 1).mT
    values = value.flatten(0, 1)
    shape = (*key.shape[:2], key.shape[3], value.shape[3])
    if state is None:
        return torch.bmm(keys, values).view(shape)
    return torch.baddbmm(state.flatten(0, 1), keys, values).view(shape)


def normalize(x: Tensor, eps: Tensor | float = NORM_EPS) -> Tensor:
    """RMS norm over the last axis without scale, which is folded into the next linear layer."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * length.square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()


def fold_norm(norm: nn.RMSNorm, weight: Tensor, bias: Tensor | None, make: MakeLinear) -> DecoderLinear:
    """A linear layer (outputs, inputs) with the scale of the norm before it."""
    return make(weight.detach().double() * norm.weight.detach().double(), bias)
