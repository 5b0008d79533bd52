"""The Trajectory Transformer: a GPT over the tokens of transitions (Janner et al. 2021, section 3.1).

What is unusual about it:

- each dimension of a transition has its own vocabulary, embedding and output matrix, without bias;
- value tokens are hidden from all queries, so that a plan does not depend on value tokens;
- position embeddings are learnt and start at zero;
- a sequence always starts with the first token of a transition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block, initialize_layers
from seqrl_cli.models.checks import require_divisible, require_dropouts, require_positive
from seqrl_cli.models.dropout import Dropout
from seqrl_cli.models.embedding import PositionHead, TokenEmbedding


class GPT(nn.Module):
    """GPT over transitions ``[observation, action, reward, value]``, one token per number.

    Args:
        bins: tokens per dimension; the token ``bins`` is the stop token.
        observation_dim: numbers per observation.
        action_dim: numbers per action.
        block_size: longest input, in tokens.
        n_layer: blocks.
        n_head: attention heads; must divide ``width``.
        width: length of the hidden vectors.
        embedding_dropout: dropout probability of the embeddings.
        residual_dropout: dropout probability of each residual branch's output.
        attention_dropout: dropout probability of the attention weights.
        mask_values: whether to hide value tokens from all queries, so that a plan does not depend on them.
        stop_token: whether to predict the end of an episode; imported models may not.
        head_frequencies: see :class:`~seqrl_cli.models.embedding.PositionHead`; the original has none.
        generator: source of the initial weights; the global one when None.

    Raises:
        SeqrlError: a size is not positive, ``n_head`` does not divide ``width``, or a dropout probability is outside
            [0, 1).
    """

    def __init__(
        self,
        *,
        bins: int,
        observation_dim: int,
        action_dim: int,
        block_size: int,
        n_layer: int = 4,
        n_head: int = 4,
        width: int = 128,
        embedding_dropout: float = 0.1,
        residual_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        mask_values: bool = True,
        stop_token: bool = True,
        head_frequencies: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = dict(bins=bins, observation_dim=observation_dim, action_dim=action_dim, block_size=block_size)
        require_positive(**sizes, n_layer=n_layer, n_head=n_head, width=width)
        require_dropouts(embedding_dropout, residual_dropout, attention_dropout)
        require_divisible(n_head, width=width)
        self.bins = bins
        self.observation_dim = observation_dim
        self.action_dim = action_dim
        self.transition_dim = observation_dim + action_dim + 2
        self.block_size = block_size
        self.n_head = n_head

        self.token_embedding = TokenEmbedding(bins, self.transition_dim, width)
        self.position_embedding = nn.Parameter(torch.empty(block_size, width))
        self.dropout = Dropout(embedding_dropout)
        self.blocks = nn.ModuleList(Block(width, n_head, residual_dropout, attention_dropout) for _ in range(n_layer))
        self.norm = nn.LayerNorm(width)
        self.head = PositionHead(bins, self.transition_dim, width, stop_token, head_frequencies)
        self.visible: Tensor
        self.register_buffer("visible", visible_keys(block_size, self.transition_dim, mask_values), persistent=False)
        initialize(self, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token that follows each position.

        Args:
            tokens: (batch, time) int64 in [0, bins], starting with a transition's first token; time <= block_size.

        Returns:
            (batch, time, bins + 1).

        Raises:
            SeqrlError: the sequence is longer than ``block_size``.
        """
        time = tokens.shape[1]
        if time > self.block_size:
            raise SeqrlError(
                f"a sequence of {time} tokens is longer than the model's block size {self.block_size}",
                "shorten the context or the horizon, or train a model with a longer sequence",
            )
        x = self.embed(tokens)
        visible = self.visible[:time, :time]
        for block in self.blocks:
            x = block(x, visible)
        logits: Tensor = self.head(self.norm(x))
        return logits

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Inputs of the first block, (batch, time, width), for tokens at positions ``first``, ``first + 1``, ..."""
        positions = self.position_embedding[first : first + tokens.shape[1]]
        x: Tensor = self.dropout(self.token_embedding(tokens, first) + positions)
        return x


def visible_keys(block_size: int, transition_dim: int, mask_values: bool) -> Tensor:
    """The keys that each query sees, (queries, keys) bool: itself and its past, without values if ``mask_values``."""
    visible = torch.ones(block_size, block_size, dtype=torch.bool).tril()
    if mask_values:
        visible[:, transition_dim - 1 :: transition_dim] = False
    return visible


def initialize(model: GPT, generator: torch.Generator | None = None) -> None:
    """Set every weight as the original does.

    ====================================  =============================================
    token embedding, linear layers        normal, standard deviation 0.02
    head                                  uniform within 1/sqrt(width)
    scales of norms                       one
    biases, position embedding            zero
    ====================================  =============================================

    Args:
        model: any GPT, which is overwritten.
        generator: source of the weights; the global one when None.
    """
    initialize_layers(model, generator)
    bound = 1 / math.sqrt(model.head.weight.shape[2])
    nn.init.uniform_(model.head.weight, -bound, bound, generator=generator)
    nn.init.zeros_(model.position_embedding)
