"""The Trajectory RetNet: retention over the tokens of transitions (Sun et al. 2023, arXiv 2307.08621, section 2).

What is unusual about it:

- nothing depends on an absolute position, so it takes sequences of any length and carries a state of constant size;
- query, key, value and gate are one linear layer, and no linear layer has a bias;
- a norm per head follows retention, so that no scale before it matters but for its epsilon;
- each dimension of a transition has its own vocabulary, embedding and output matrix, as in the GPT.

A value token does not affect other tokens. With ``mask_values`` its key is zero, so it adds nothing to the memory;
time passes at it as at any token, so everything older decays and turns by one more step, and distances are the same
with and without the mask. The token itself still reads the memory, because it predicts the next observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.checks import require_divisible, require_dropouts, require_positive
from seqrl_cli.models.dropout import Dropout
from seqrl_cli.models.embedding import PositionHead, TokenEmbedding
from seqrl_cli.models.retnet.retention import (
    check_mode,
    head_decays,
    pair_angles,
    retain,
    rotary_phases,
    rotate,
    rotate_state,
)

NORM_EPS = 1e-6


@dataclass(frozen=True)
class RecurrentState:
    """The recurrent state after some tokens; its size does not depend on their number.

    Attributes:
        layers: per layer (batch, heads, key_dim, value_dim) as the next token sees it, see :mod:`.retention`.
        position: tokens consumed.
    """

    layers: tuple[Tensor, ...]
    position: int


@dataclass(frozen=True)
class PositionFactors:
    """Rotation and scale of queries, keys and memory by the tokens' positions; the same in all layers.

    Attributes:
        query: (batch, heads, time, pairs) complex, turn and scale of the queries.
        key: (time, pairs) complex, turn of the keys, zero where a token adds nothing to the memory.
        after: (pairs,) complex, turn of the memory when all tokens have passed.
        decay: (heads,) float64.
    """

    query: Tensor
    key: Tensor
    after: Tensor
    decay: Tensor


def position_factors(
    n_head: int, key_dim: int, past: Tensor, remembered: Tensor, dtype: torch.dtype
) -> PositionFactors:
    """Factors of tokens that follow ``past`` others.

    Queries are scaled by 1/sqrt(key_dim) and by 1/sqrt(1 + g + ... + g^n), where n tokens came before and g is the
    head's decay (section 2.1, score normalization). The norm after retention undoes both, up to its epsilon.

    Args:
        n_head: heads.
        key_dim: length of a key.
        past: (batch,) int64, tokens that came before; (1,) when they are equally many in all rows.
        remembered: (time,) bool, which of the tokens add to the memory.
        dtype: the model's precision.
    """
    decay, angles = head_decays(n_head, past.device), pair_angles(key_dim, past.device)
    steps = torch.arange(len(remembered), device=past.device)
    seen = (1 - decay[:, None] ** (past[:, None, None] + steps + 1)) / (1 - decay[:, None])
    turned = rotary_phases(angles, steps)
    query = turned * (seen * key_dim).rsqrt()[..., None]
    complex_ = torch.complex128 if dtype == torch.float64 else torch.complex64
    after = rotary_phases(angles, steps.new_tensor(-len(steps)))
    return PositionFactors(query.to(complex_), (turned * remembered[:, None]).to(complex_), after.to(complex_), decay)


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
        self.mixed_dropout = Dropout(attention_dropout)

    def forward(
        self, x: Tensor, factors: PositionFactors, memory: Tensor | None, mode: str, chunk_size: int
    ) -> tuple[Tensor, Tensor]:
        """Transform ``x`` (batch, time, width) and a memory (batch, heads, key_dim, value_dim)."""
        *parts, gate = self.qkvg(self.norm_retention(x)).split(self.sizes, dim=2)
        query, key, value = (part.unflatten(2, (self.n_head, -1)).transpose(1, 2) for part in parts)
        query, key = rotate(query, factors.query), rotate(key, factors.key)
        mixed, memory = retain(mode, query, key, value, factors.decay, memory, chunk_size=chunk_size)
        # per head, so that heads whose memories are of different lengths weigh the same: the paper's group norm
        mixed = functional.rms_norm(mixed, mixed.shape[-1:], eps=NORM_EPS).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.projection(self.mixed_dropout(functional.silu(gate) * mixed)))
        x = x + self.dropout(self.mlp(self.norm_mlp(x)))
        return x, rotate_state(memory, factors.after)

    def mlp(self, x: Tensor) -> Tensor:
        """The gated feed-forward half on normed inputs (batch, time, width)."""
        x, gate = self.mlp_in(x).chunk(2, dim=2)
        added: Tensor = self.mlp_out(functional.gelu(x) * gate)
        return added


class RetNet(nn.Module):
    """RetNet over transitions ``[observation, action, reward, value]``, one token per number.

    It takes sequences of any length: nothing in it depends on an absolute position.

    Args:
        bins: tokens per dimension; the token ``bins`` is stop.
        observation_dim: numbers per observation.
        action_dim: numbers per action.
        n_layer: blocks.
        n_head: heads of retention; must divide ``width``, into an even number, and ``value_width``.
        width: length of the hidden vectors, and of all heads' queries together.
        value_width: length of all heads' values together; None is ``width``. The paper has twice the width.
        ffn_width: inner length of the gated networks; None makes a block as large as a GPT's.
        embedding_dropout: fraction of embedded numbers dropped in training.
        residual_dropout: fraction of each half block's output dropped in training.
        attention_dropout: fraction of retention's output dropped in training. Weights of pairs of tokens, which
            a GPT would drop, exist in one of the three forms only.
        mask_values: whether value tokens add nothing to the memory, so that a plan does not depend on them.
        stop_token: whether to predict the end of an episode.
        mode: form of retention, ``parallel``, ``chunkwise`` or ``recurrent``; may be changed at any time.
        chunk_size: tokens per chunk of the chunkwise form.
        generator: source of the initial weights; the global one when None.

    Raises:
        SeqrlError: the arguments make no model.
    """

    def __init__(
        self,
        *,
        bins: int,
        observation_dim: int,
        action_dim: int,
        n_layer: int = 4,
        n_head: int = 4,
        width: int = 128,
        value_width: int | None = None,
        ffn_width: int | None = None,
        embedding_dropout: float = 0.1,
        residual_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        mask_values: bool = True,
        stop_token: bool = True,
        mode: str = "parallel",
        chunk_size: int = 64,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        value_width = width if value_width is None else value_width
        ffn_width = equal_ffn_width(width) if ffn_width is None else ffn_width
        require_positive(bins=bins, observation_dim=observation_dim, action_dim=action_dim, n_layer=n_layer)
        check_heads(n_head, width, value_width, ffn_width)
        require_dropouts(embedding_dropout, residual_dropout, attention_dropout)
        check_mode(mode, chunk_size)
        self.bins = bins
        self.observation_dim = observation_dim
        self.action_dim = action_dim
        self.transition_dim = observation_dim + action_dim + 2
        self.block_size: int | None = None
        self.n_head = n_head
        self.key_dim = width // n_head
        self.mask_values = mask_values
        self.mode = mode
        self.chunk_size = chunk_size

        self.token_embedding = TokenEmbedding(bins, self.transition_dim, width)
        self.dropout = Dropout(embedding_dropout)
        self.blocks = nn.ModuleList(
            RetentionBlock(width, n_head, value_width, ffn_width, residual_dropout, attention_dropout)
            for _ in range(n_layer)
        )
        self.norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.head = PositionHead(bins, self.transition_dim, width, stop_token)
        initialize(self, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token that follows each position.

        Args:
            tokens: (batch, time) int64 in [0, bins], starting with a transition's first token.

        Returns:
            (batch, time, bins + 1).
        """
        return self.advance(tokens)[0]

    def advance(self, tokens: Tensor, memory: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Consume tokens that continue a memory.

        Args:
            tokens: (batch, time) int64 in [0, bins].
            memory: of the previous tokens; None at the beginning.

        Returns:
            Logits of the token that follows each position, (batch, time, bins + 1), and the memory after the last one.
        """
        position = memory.position if memory else 0
        x = self.dropout(self.token_embedding(tokens, position))
        places = torch.arange(position, position + tokens.shape[1], device=x.device)
        factors = position_factors(self.n_head, self.key_dim, places[:1], self.remembers(places), x.dtype)
        after = []
        for block, before in zip(self.blocks, memory.layers if memory else [None] * len(self.blocks), strict=True):
            x, layer = block(x, factors, before, self.mode, self.chunk_size)
            after.append(layer)
        logits: Tensor = self.head(self.norm(x), position)
        return logits, RecurrentState(tuple(after), position + tokens.shape[1])

    def remembers(self, positions: Tensor) -> Tensor:
        """Whether the tokens at ``positions`` add to the memory, bool."""
        is_value = positions % self.transition_dim == self.transition_dim - 1
        return ~is_value if self.mask_values else torch.ones_like(is_value)


def equal_ffn_width(width: int) -> int:
    """The inner length that gives a block as many weights as a GPT's: 7/3 of the width, made a multiple of 8.

    A GPT's block has 4 matrices of width x width for attention and 8 for its network; retention has 5, which leaves 7
    for the three matrices of a gated network.
    """
    return -(-7 * width // 24) * 8


def check_heads(n_head: int, width: int, value_width: int, ffn_width: int) -> None:
    """Raise SeqrlError unless the widths are positive and the heads can share them."""
    require_positive(n_head=n_head, width=width, value_width=value_width, ffn_width=ffn_width)
    require_divisible(n_head, width=width, value_width=value_width)
    if width // n_head % 2:
        raise SeqrlError(
            f"width {width} gives each of {n_head} heads {width // n_head} dimensions, which rotation cannot pair",
            f"choose a multiple of {2 * n_head} as width",
        )


def initialize(model: RetNet, generator: torch.Generator | None = None) -> None:
    """Set every weight as the original does.

    ====================================  =============================================
    token embedding                       normal, deviation 1
    query, key, value, gate               Xavier uniform, gain 2^-2.5
    projection                            Xavier uniform
    feed-forward layers, head             uniform within 1/sqrt(inputs)
    scales of norms                       one
    ====================================  =============================================

    Args:
        model: any RetNet; overwritten.
        generator: source of the weights; the global one when None.
    """
    nn.init.normal_(model.token_embedding.weight, generator=generator)
    _uniform(model.head.weight, generator)
    for block in model.blocks:
        assert isinstance(block, RetentionBlock)
        for part in block.qkvg.weight.split(block.sizes):
            nn.init.xavier_uniform_(part, gain=2**-2.5, generator=generator)
        nn.init.xavier_uniform_(block.projection.weight, generator=generator)
        _uniform(block.mlp_in.weight, generator)
        _uniform(block.mlp_out.weight, generator)


def _uniform(weight: Tensor, generator: torch.Generator | None) -> None:
    """PyTorch's own initial weights of a linear layer, (..., outputs, inputs)."""
    bound = 1 / math.sqrt(weight.shape[-1])
    nn.init.uniform_(weight, -bound, bound, generator=generator)
