"""The Trajectory RetNet: retention over the tokens of transitions (Sun et al. 2023, arXiv 2307.08621, section 2).

What is unusual about it:

- nothing depends on an absolute position, so it accepts sequences of any length and carries a state of constant size;
- query, key, value and gate are one linear layer, and no linear layer has a bias;
- a norm per head follows retention, so a scale before it matters only through its epsilon;
- each dimension of a transition has its own vocabulary, embedding and output matrix, as in the GPT.

With ``mask_values`` the key of a value token is zero, so it adds nothing to the recurrent state and affects no other
token. It still counts as a step: the state decays and rotates as at any token, and distances are the same with and
without the mask. The token itself still reads the state, because it predicts the next observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.checks import require_divisible, require_dropouts, require_positive
from seqrl_cli.models.dropout import Dropout
from seqrl_cli.models.embedding import PositionHead, TokenEmbedding
from seqrl_cli.models.retnet.block import NORM_EPS, RetentionBlock, position_factors
from seqrl_cli.models.retnet.retention import check_mode


@dataclass(frozen=True)
class RecurrentState:
    """The recurrent state of a batch after some tokens; its size does not depend on their number.

    Attributes:
        layers: state of each layer (batch, heads, key_dim, value_dim), as the next token sees it; see
            :mod:`.retention`.
        position: tokens consumed.
    """

    layers: tuple[Tensor, ...]
    position: int


class RetNet(nn.Module):
    """RetNet over transitions ``[observation, action, reward, value]``, one token per number.

    It accepts sequences of any length: nothing in it depends on an absolute position.

    Args:
        bins: tokens per dimension; the token ``bins`` is the stop token.
        observation_dim: numbers per observation.
        action_dim: numbers per action.
        n_layer: blocks.
        n_head: heads of retention; must divide ``value_width``, and ``width`` with an even quotient.
        width: length of the hidden vectors, and of all heads' queries together.
        value_width: length of all heads' values together; None means ``width``. The paper uses twice the width.
        ffn_width: inner width of the gated networks; None makes a block as large as a GPT's,
            if ``value_width`` is ``width``.
        embedding_dropout: dropout probability of the embeddings.
        residual_dropout: dropout probability of each residual branch's output.
        attention_dropout: dropout probability of retention's output. A GPT drops weights of pairs of tokens,
            but these exist in only one of the three forms of retention.
        mask_values: whether value tokens add nothing to the state, so that a plan does not depend on them.
        stop_token: whether to predict the end of an episode.
        head_frequencies: see :class:`~seqrl_cli.models.embedding.PositionHead`; the original has none.
        embedding_deviation: standard deviation of the initial token embeddings, 1 in the original.
        dimension_embedding: see :class:`~seqrl_cli.models.embedding.TokenEmbedding`; not in the original.
        mode: form of retention, ``parallel``, ``chunkwise`` or ``recurrent``; may be changed at any time.
        chunk_size: tokens per chunk of the chunkwise form.
        generator: source of the initial weights; the global one when None.

    Raises:
        SeqrlError: a size is not positive, ``n_head`` does not divide the widths as stated, a dropout probability is
            outside [0, 1), or there is no such ``mode``.
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
        head_frequencies: int = 0,
        embedding_deviation: float = 1.0,
        dimension_embedding: bool = False,
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

        self.token_embedding = TokenEmbedding(bins, self.transition_dim, width, dimension_embedding)
        self.dropout = Dropout(embedding_dropout)
        self.blocks = nn.ModuleList(
            RetentionBlock(width, n_head, value_width, ffn_width, residual_dropout, attention_dropout)
            for _ in range(n_layer)
        )
        self.norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.head = PositionHead(bins, self.transition_dim, width, stop_token, head_frequencies)
        initialize(self, generator, embedding_deviation)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token that follows each position.

        Args:
            tokens: (batch, time) int64 in [0, bins], starting with a transition's first token.

        Returns:
            (batch, time, bins + 1).
        """
        return self.advance(tokens)[0]

    def advance(self, tokens: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Consume tokens that continue a recurrent state.

        Args:
            tokens: (batch, time) int64 in [0, bins].
            state: the state after the previous tokens; None at the beginning.

        Returns:
            Logits of the token that follows each position, (batch, time, bins + 1), and the state after the last one.
        """
        position = state.position if state else 0
        x = self.dropout(self.token_embedding(tokens, position))
        positions = torch.arange(position, position + tokens.shape[1], device=x.device)
        factors = position_factors(self.n_head, self.key_dim, positions[:1], self.writes_state(positions), x.dtype)
        before = state.layers if state else [None] * len(self.blocks)
        after = []
        for block, layer_state in zip(self.blocks, before, strict=True):
            x, new_state = block(x, factors, layer_state, self.mode, self.chunk_size)
            after.append(new_state)
        logits: Tensor = self.head(self.norm(x), position)
        return logits, RecurrentState(tuple(after), position + tokens.shape[1])

    def writes_state(self, positions: Tensor) -> Tensor:
        """Whether the tokens at ``positions`` add to the state, bool."""
        is_value = positions % self.transition_dim == self.transition_dim - 1
        return ~is_value if self.mask_values else torch.ones_like(is_value)


def equal_ffn_width(width: int) -> int:
    """The inner width that gives a block as many weights as a GPT's: 7/3 of the width, rounded up to a multiple of 8.

    The values must be as wide as the hidden vectors. In units of width x width, a GPT's block has 4 matrices for
    attention and 8 for its feed-forward network. Retention has 5, which leaves 7 for the three matrices of the gated
    network.
    """
    return -(-7 * width // 24) * 8


def check_heads(n_head: int, width: int, value_width: int, ffn_width: int) -> None:
    """Raise SeqrlError unless the widths are positive and divisible among the heads."""
    require_positive(n_head=n_head, width=width, value_width=value_width, ffn_width=ffn_width)
    require_divisible(n_head, width=width, value_width=value_width)
    if width // n_head % 2:
        raise SeqrlError(
            f"width {width} gives each of {n_head} heads {width // n_head} dimensions, but rotation needs pairs",
            f"choose a multiple of {2 * n_head} as width",
        )


def initialize(model: RetNet, generator: torch.Generator | None = None, embedding_deviation: float = 1.0) -> None:
    """Set every weight as the original does.

    ====================================  =============================================
    token embedding                       normal, standard deviation 1 or as given
    query, key, value, gate               Xavier uniform, gain 2^-2.5
    projection                            Xavier uniform
    feed-forward layers, head             uniform within 1/sqrt(inputs)
    scales of norms                       one
    dimension embedding, if there is one  zero
    ====================================  =============================================

    Args:
        model: any RetNet, which is overwritten.
        generator: source of the weights; the global one when None.
        embedding_deviation: standard deviation of the token embeddings.
    """
    nn.init.normal_(model.token_embedding.weight, std=embedding_deviation, generator=generator)
    _uniform(model.head.weight, generator)
    for block in model.blocks:
        assert isinstance(block, RetentionBlock)
        for part in block.qkvg.weight.split(block.sizes):
            nn.init.xavier_uniform_(part, gain=2**-2.5, generator=generator)
        nn.init.xavier_uniform_(block.projection.weight, generator=generator)
        _uniform(block.mlp_in.weight, generator)
        _uniform(block.mlp_out.weight, generator)


def _uniform(weight: Tensor, generator: torch.Generator | None) -> None:
    """Set a weight (..., outputs, inputs) as PyTorch initializes linear layers."""
    bound = 1 / math.sqrt(weight.shape[-1])
    nn.init.uniform_(weight, -bound, bound, generator=generator)
