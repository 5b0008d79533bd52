"""The low-rank matrices of LoRA at one linear layer, for all members of a pool."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.adapters.row_adapters import LowRankRows
from seqrl_cli.models.adapters.selection import Selection, per_sample
from seqrl_cli.models.decoding.invariant_linear import MakeLinear
from seqrl_cli.models.dropout import Dropout

_FEWEST_FOR_COPIES = 96
"""Tokens per sample times members in use from which copies per sample take less time than shared products."""


class LowRank(nn.Module):
    """Adds ``scale * B A x`` to some outputs of a linear layer.

    Samples with different members share both products where that takes less time: the matrices of all members in use
    lie side by side, and what a sample does not use is multiplied by zero in between. The work then grows with the
    members in use, so where they and the tokens are many, each sample gets a copy of its matrices instead.

    Args:
        inputs: number of inputs of the products: the layer's inputs or (``on_outputs``) its outputs.
        span: first and last (exclusive) output that is changed.
        outputs: number of outputs of the layer.
        rank: rank of each product.
        scale: factor of the products.
        dropout: dropout probability of the inputs of ``A``.
        pool: number of members.
        on_outputs: multiply the layer's outputs instead of its inputs.
    """

    tensors: Sequence[str] = ("down", "up")

    def __init__(
        self,
        inputs: int,
        span: tuple[int, int],
        outputs: int,
        rank: int,
        scale: float,
        dropout: float,
        pool: int,
        on_outputs: bool = False,
    ) -> None:
        super().__init__()
        self.rank = rank
        self.scale = scale
        self.padding = (span[0], outputs - span[1])
        self.on_outputs = on_outputs
        self.dropout = Dropout(dropout)
        self.down = nn.ParameterList(torch.empty(rank, inputs) for _ in range(pool))
        self.up = nn.ParameterList(torch.empty(span[1] - span[0], rank) for _ in range(pool))

    def reset(self, member: int, generator: torch.Generator | None) -> None:
        """Draw ``A`` uniformly within 1/sqrt(inputs), and set ``B`` to zero, so that nothing is added at first."""
        nn.init.kaiming_uniform_(self.down[member], a=math.sqrt(5), generator=generator)
        nn.init.zeros_(self.up[member])

    def before(self, x: Tensor, selected: Selection) -> Tensor:
        """The layer's inputs, unchanged."""
        return x

    def after(self, x: Tensor, y: Tensor, selected: Selection) -> Tensor:
        """The adapted outputs (batch, ..., outputs), given the layer's inputs and outputs."""
        inputs = self.dropout(y if self.on_outputs else x)
        members, slots = selected.members, selected.slots
        if slots is None:
            hidden = functional.linear(inputs, self.down[members[0]]) * self.scale  # fewer numbers than the outputs
            added = functional.linear(hidden, self.up[members[0]])
        elif inputs.dim() == 3 and inputs.shape[1] * len(members) >= _FEWEST_FOR_COPIES:
            added = by_copies(inputs, _of(self.down, members), _of(self.up, members), slots, self.scale)
        else:
            hidden = functional.linear(inputs, joined(self.down, members, 0))
            hidden = hidden * per_sample(selected.chosen(self.rank) * self.scale, hidden)
            added = functional.linear(hidden, joined(self.up, members, 1))
        return y + (functional.pad(added, self.padding) if any(self.padding) else added)

    def merged(self, weight: Tensor, bias: Tensor | None, member: int) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear layer that is equivalent to the adapted one."""
        product = functional.pad(self.scale * self.up[member] @ self.down[member], (0, 0, *self.padding))
        if not self.on_outputs:
            return weight + product, bias
        return weight + product @ weight, None if bias is None else bias + product @ bias

    def matrices(self, member: int) -> tuple[Tensor, Tensor]:
        """A member's ``A`` (rank, inputs) and ``B`` (outputs, rank); zeros stand for outputs that stay as they are."""
        return self.down[member].detach(), functional.pad(self.up[member].detach(), (0, 0, *self.padding))

    def rows(self, member: int, make: MakeLinear, first: int) -> LowRankRows:
        """A member for a decoder, in which the layer's outputs begin at ``first``."""
        start = first + self.padding[0]
        columns = slice(start, start + len(self.up[member]))
        return LowRankRows(self.down[member], self.scale * self.up[member], columns, make, self.on_outputs)


def by_copies(x: Tensor, down: list[Tensor], up: list[Tensor], slots: Tensor, scale: float) -> Tensor:
    """``scale * B A x`` with a copy of its own matrices per sample.

    Args:
        x: (batch, time, inputs).
        down: ``A`` (rank, inputs) of each member in use.
        up: ``B`` (outputs, rank) of each.
        slots: see :class:`~seqrl_cli.models.adapters.selection.Selection`.
        scale: factor of the product.

    Returns:
        (batch, time, outputs); zeros where a sample uses none.
    """
    own = (slots - 1).clamp(min=0)
    hidden = torch.bmm(x, torch.stack(down)[own].transpose(1, 2))
    used = per_sample((slots > 0).unsqueeze(1) * scale, hidden)
    return torch.bmm(hidden * used, torch.stack(up)[own].transpose(1, 2))


def joined(matrices: nn.ParameterList, members: Sequence[int], dim: int) -> Tensor:
    """The matrices of some members side by side."""
    chosen = [matrices[member] for member in members]
    return chosen[0] if len(chosen) == 1 else torch.cat(chosen, dim)


def _of(matrices: nn.ParameterList, members: Sequence[int]) -> list[Tensor]:
    return [matrices[member] for member in members]
