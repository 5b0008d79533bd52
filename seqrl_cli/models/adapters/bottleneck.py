"""The bottleneck of Houlsby et al. behind one linear layer, for all members of a pool."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.adapters.low_rank import joined
from seqrl_cli.models.adapters.row_adapters import BottleneckRows
from seqrl_cli.models.adapters.selection import Selection, per_sample
from seqrl_cli.models.decoding.invariant_linear import MakeLinear


class Bottleneck(nn.Module):
    """Adds ``U silu(D y + b) + c`` to the outputs ``y`` of a linear layer.

    Args:
        outputs: number of outputs of the layer.
        inner: width of the bottleneck.
        pool: number of members.
    """

    tensors: Sequence[str] = ("down", "down_bias", "up", "up_bias")

    def __init__(self, outputs: int, inner: int, pool: int) -> None:
        super().__init__()
        self.inner = inner
        self.down = nn.ParameterList(torch.empty(inner, outputs) for _ in range(pool))
        self.down_bias = nn.ParameterList(torch.empty(inner) for _ in range(pool))
        self.up = nn.ParameterList(torch.empty(outputs, inner) for _ in range(pool))
        self.up_bias = nn.ParameterList(torch.empty(outputs) for _ in range(pool))

    def reset(self, member: int, generator: torch.Generator | None) -> None:
        """Draw ``D`` uniformly within 1/sqrt(outputs), and set the rest to zero, so that nothing is added at first."""
        nn.init.kaiming_uniform_(self.down[member], a=math.sqrt(5), generator=generator)
        for parameters in (self.down_bias, self.up, self.up_bias):
            nn.init.zeros_(parameters[member])

    def before(self, x: Tensor, selected: Selection) -> Tensor:
        """The layer's inputs, unchanged."""
        return x

    def after(self, x: Tensor, y: Tensor, selected: Selection) -> Tensor:
        """The adapted outputs (batch, ..., outputs)."""
        members = selected.members
        bias = joined(self.down_bias, members, 0)
        hidden = functional.silu(functional.linear(y, joined(self.down, members, 0), bias))
        up = joined(self.up, members, 1)
        if selected.slots is None:
            return y + functional.linear(hidden, up, self.up_bias[members[0]])
        hidden = hidden * per_sample(selected.chosen(self.inner), hidden)
        biases = [self.up_bias[member] for member in members]
        shift = torch.stack([torch.zeros_like(biases[0]), *biases])[selected.slots]
        return y + functional.linear(hidden, up) + per_sample(shift, y)

    def merged(self, weight: Tensor, bias: Tensor | None, member: int) -> tuple[Tensor, Tensor | None]:
        """Not possible: no linear layer is equivalent to a bottleneck."""
        raise AssertionError("a bottleneck cannot be merged")

    def rows(self, member: int, make: MakeLinear, first: int) -> BottleneckRows:
        """A member for a decoder, in which the layer's outputs begin at ``first``."""
        down = make(self.down[member], self.down_bias[member])
        up = make(self.up[member], self.up_bias[member])
        return BottleneckRows(down, up, slice(first, first + len(self.up[member])))
