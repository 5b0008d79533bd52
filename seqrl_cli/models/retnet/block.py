"""The block of a RetNet: retention and a gated feed-forward network, each with a norm before it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.dropout import Dropout
from seqrl_cli.models.parts import Part
from seqrl_cli.models.retnet.retention import head_decays, pair_angles, retain, rotary_phases, rotate, rotate_state

NORM_EPS = 1e-6


@dataclass(frozen=True)
class PositionFactors:
    """Rotation and scale of queries, keys and state by the tokens' positions; the same in all layers.

    Attributes:
        query: (batch, heads, time, pairs) complex, rotation and scale of the queries.
        key: (time, pairs) complex, rotation of the keys, zero where a token adds nothing to the state.
        state: (pairs,) complex, rotation of the state after all tokens.
        decay: (heads,) float64.
    """

    query: Tensor
    key: Tensor
    state: Tensor
    decay: Tensor


def position_factors(n_head: int, key_dim: int, past: Tensor, written: Tensor, dtype: torch.dtype) -> PositionFactors:
    """The factors of tokens that follow ``past`` others.

    Queries are scaled by 1/sqrt(key_dim) and by 1/sqrt(1 + g + ... + g^n), where n tokens came before and g is the
    head's decay (section 2.1, score normalization). The norm after retention undoes both, up to its epsilon.

    Args:
        n_head: heads.
        key_dim: length of a key.
        past: (batch,) int64, number of earlier tokens; (1,) when it is the same in all rows.
        written: (time,) bool, whether each token adds to the state.
        dtype: the model's precision.
    """
    decay = head_decays(n_head, past.device)
    angles = pair_angles(key_dim, past.device)
    steps = torch.arange(len(written), device=past.device)
    seen = (1 - decay[:, None] ** (past[:, None, None] + steps + 1)) / (1 - decay[:, None])
    phases = rotary_phases(angles, steps)
    query = phases * (seen * key_dim).rsqrt()[..., None]
    complex_ = torch.complex128 if dtype == torch.float64 else torch.complex64
    key = phases * written[:, None]
    state = rotary_phases(angles, steps.new_tensor(-len(steps)))
    return PositionFactors(query.to(complex_), key.to(complex_), state.to(complex_), decay)


class RetentionBlock(nn.Module):
    """A pre-norm block: ``x + retention(norm(x))``, then ``x + mlp(norm(x))`` with a gated network."""

    def __init__(
        self,
        width: int,
        n_head: int,
        value_width: int,
        ffn_width: int,
        residual_dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.n_head = n_head
        self.sizes = [width, width, value_width, value_width]
        self.norm_retention = nn.RMSNorm(width, eps=NORM_EPS)
        self.qkvg = nn.Linear(width, sum(self.sizes), bias=False)
        self.projection = nn.Linear(value_width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width, eps=NORM_EPS)
        self.mlp_in = nn.Linear(width, 2 * ffn_width, bias=False)
        self.mlp_out = nn.Linear(ffn_width, width, bias=False)
        self.dropout = Dropout(residual_dropout)
        self.retention_dropout = Dropout(attention_dropout)

    @property
    def parts(self) -> dict[str, Part]:
        """The parts of the block by name; the gated feed-forward half has two layers in one at its beginning."""
        ends = list(accumulate(self.sizes, initial=0))
        spans = zip(("query", "key", "value"), pairwise(ends), strict=False)
        own = {name: Part("qkvg", span) for name, span in spans}
        first, last = Part("mlp_in"), Part("mlp_out")
        own |= {"projection": Part("projection"), "activations": last}
        return own | {"feed-forward": first, "feed-forward-output": first}

    def forward(
        self, x: Tensor, factors: PositionFactors, state: Tensor | None, mode: str, chunk_size: int
    ) -> tuple[Tensor, Tensor]:
        """Transform ``x`` (batch, time, width) and the layer's state (batch, heads, key_dim, value_dim)."""
        *parts, gate = self.qkvg(self.norm_retention(x)).split(self.sizes, dim=2)
        query, key, value = (part.unflatten(2, (self.n_head, -1)).transpose(1, 2) for part in parts)
        query = rotate(query, factors.query)
        key = rotate(key, factors.key)
        out, state = retain(mode, query, key, value, factors.decay, state, chunk_size=chunk_size)
        # the paper's group norm: per head, so that heads with slow and fast decay have the same weight
        out = functional.rms_norm(out, out.shape[-1:], eps=NORM_EPS).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.projection(self.retention_dropout(functional.silu(gate) * out)))
        x = x + self.dropout(self.mlp(self.norm_mlp(x)))
        return x, rotate_state(state, factors.state)

    def mlp(self, x: Tensor) -> Tensor:
        """The gated feed-forward half on normed inputs (batch, time, width)."""
        x, gate = self.mlp_in(x).chunk(2, dim=2)
        added: Tensor = self.mlp_out(functional.gelu(x) * gate)
        return added
