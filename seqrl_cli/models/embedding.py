"""Embedding and head of token models, with separate weights for each dimension of a transition."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class TokenEmbedding(nn.Embedding):
    """One table: token ``i`` of dimension ``d`` is row ``d * bins + i``; the stop token is the last row.

    Args:
        bins: tokens per dimension; the token ``bins`` means stop.
        transition_dim: tokens per transition.
        width: length of an embedding.
        dimension_embedding: whether to add a vector per dimension, which starts at zero. A model without positions
            otherwise has to learn from every bin alone which dimension it belongs to.
    """

    def __init__(self, bins: int, transition_dim: int, width: int, dimension_embedding: bool = False) -> None:
        super().__init__(bins * transition_dim + 1, width)
        self.bins = bins
        self.transition_dim = transition_dim
        self.dimension = nn.Parameter(torch.zeros(transition_dim, width)) if dimension_embedding else None

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Embed the tokens at positions ``first``, ``first + 1``, ...

        Args:
            tokens: (batch, time) int64 in [0, bins].
            first: position of the first token in its sequence of whole transitions.

        Returns:
            (batch, time, width).
        """
        dimensions = torch.arange(first, first + tokens.shape[1], device=tokens.device) % self.transition_dim
        rows = tokens + dimensions * self.bins
        rows = rows.masked_fill(tokens == self.bins, self.bins * self.transition_dim)
        embedded = super().forward(rows)
        return embedded if self.dimension is None else embedded + self.dimension[dimensions]

    def by_dimension(self) -> Tensor:
        """A float32 copy (transition_dim, bins + 1, width); each dimension has a copy of the stop token's row."""
        table = self.weight.detach().float()
        stop = table[-1].expand(self.transition_dim, 1, -1)
        rows = torch.cat([table[:-1].view(self.transition_dim, self.bins, -1), stop], dim=1)
        return rows if self.dimension is None else rows + self.dimension.detach().float()[:, None]


class PositionHead(nn.Module):
    """One linear map per dimension, without bias: the map at position ``t`` predicts the token at ``t + 1``.

    Args:
        bins: tokens per dimension; logits have one more column, for stop.
        transition_dim: tokens per transition.
        width: length of the hidden vectors.
        stop_token: whether stop can be predicted; if not, it has no weights and its logit is -inf.
        frequencies: cosines over the bins of a dimension that are added to its map, each with a vector that starts at
            zero. Bins are ordered, so what is learnt about one then helps its neighbours.
    """

    def __init__(
        self, bins: int, transition_dim: int, width: int, stop_token: bool = True, frequencies: int = 0
    ) -> None:
        super().__init__()
        outputs = bins + 1 if stop_token else bins
        self.weight = nn.Parameter(torch.empty(transition_dim, outputs, width))
        self.smooth = nn.Parameter(torch.zeros(transition_dim, frequencies, width)) if frequencies else None
        self.cosines: Tensor
        self.register_buffer("cosines", cosines(bins, frequencies), persistent=False)
        self.bins = bins

    def maps(self) -> Tensor:
        """The linear maps (transition_dim, bins + 1, width), or of ``bins`` rows where stop is impossible."""
        if self.smooth is None:
            return self.weight
        smooth = torch.einsum("bf,dfw->dbw", self.cosines, self.smooth)
        return self.weight + functional.pad(smooth, (0, 0, 0, self.weight.shape[1] - self.bins))

    def linear(self, dim: int) -> tuple[Tensor, Tensor | None]:
        """The map of one dimension: weight (bins + 1, width), and a bias (bins + 1,) where stop is impossible."""
        weight = self.weight[dim]
        if self.smooth is not None:
            weight = weight + functional.pad(self.cosines @ self.smooth[dim], (0, 0, 0, len(weight) - self.bins))
        if len(weight) > self.bins:
            return weight, None
        bias = weight.new_zeros(self.bins + 1)
        bias[-1] = -math.inf
        return functional.pad(weight, (0, 0, 0, 1)), bias

    def forward(self, hidden: Tensor, first: int = 0) -> Tensor:
        """Logits of the token that follows each position.

        Args:
            hidden: (batch, time, width).
            first: position of the first hidden vector in its sequence.

        Returns:
            (batch, time, bins + 1).
        """
        transition_dim = self.weight.shape[0]
        batch, time, width = hidden.shape
        phase = first % transition_dim
        if time == 1:
            return functional.linear(hidden, *self.linear(phase))
        # pad to whole transitions, so that each dimension needs one product
        padded = functional.pad(hidden, (0, 0, phase, -(phase + time) % transition_dim))
        transitions = padded.view(batch, -1, transition_dim, width)
        logits = torch.einsum("bndw,dvw->bndv", transitions, self.maps())
        logits = functional.pad(logits, (0, self.bins + 1 - logits.shape[-1]), value=-math.inf)
        return logits.flatten(1, 2)[:, phase : phase + time]


def cosines(bins: int, frequencies: int) -> Tensor:
    """The lowest frequencies of the discrete cosine transform without the constant, (bins, frequencies).

    Each has a mean square of one over the bins.
    """
    phases = math.pi * (torch.arange(bins, dtype=torch.float64) + 0.5) / bins
    waves = torch.cos(phases[:, None] * torch.arange(1, frequencies + 1))
    return (math.sqrt(2) * waves).float()
