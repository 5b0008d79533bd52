"""The vectors of IA3 at one linear layer, for all members of a pool."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.adapters.row_adapters import ScalingRows
from seqrl_cli.models.adapters.selection import Selection, per_sample
from seqrl_cli.models.decoding.invariant_linear import MakeLinear


class Scaling(nn.Module):
    """Multiplies the inputs or some outputs of a linear layer by a vector.

    Args:
        span: first and last (exclusive) number that is multiplied.
        numbers: number of the layer's inputs or outputs.
        pool: number of members.
        on_inputs: multiply the layer's inputs instead of its outputs.
    """

    tensors: Sequence[str] = ("scale",)

    def __init__(self, span: tuple[int, int], numbers: int, pool: int, on_inputs: bool) -> None:
        super().__init__()
        self.padding = (span[0], numbers - span[1])
        self.on_inputs = on_inputs
        self.scale = nn.ParameterList(torch.empty(span[1] - span[0]) for _ in range(pool))

    def reset(self, member: int, generator: torch.Generator | None) -> None:
        """Set a member to ones."""
        nn.init.ones_(self.scale[member])

    def before(self, x: Tensor, selected: Selection) -> Tensor:
        """The layer's inputs (batch, ..., inputs), multiplied if they are what is adapted."""
        return x * self._factor(x, selected) if self.on_inputs else x

    def after(self, x: Tensor, y: Tensor, selected: Selection) -> Tensor:
        """The layer's outputs (batch, ..., outputs), multiplied unless its inputs are."""
        return y if self.on_inputs else y * self._factor(y, selected)

    def merged(self, weight: Tensor, bias: Tensor | None, member: int) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear layer that is equivalent to the adapted one."""
        scale = self._padded(self.scale[member])
        if self.on_inputs:
            return weight * scale, bias
        return weight * scale.unsqueeze(1), None if bias is None else bias * scale

    def rows(self, member: int, make: MakeLinear, first: int) -> ScalingRows:
        """A member for a decoder, in which the layer's outputs begin at ``first``."""
        start = self.padding[0] + (0 if self.on_inputs else first)
        return ScalingRows(self.scale[member].detach(), slice(start, start + len(self.scale[member])), self.on_inputs)

    def _factor(self, like: Tensor, selected: Selection) -> Tensor:
        """What ``like`` (batch, ..., numbers) is multiplied by."""
        scales = [self.scale[member] for member in selected.members]
        if selected.slots is None:
            return self._padded(scales[0])
        table = torch.stack([torch.ones_like(scales[0]), *scales])
        return per_sample(self._padded(table[selected.slots]), like)

    def _padded(self, scale: Tensor) -> Tensor:
        """(..., span) -> (..., numbers), with ones around the span."""
        return functional.pad(scale, self.padding, value=1.0) if any(self.padding) else scale
