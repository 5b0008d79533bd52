"""A linear layer with adapters around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from seqrl_cli.models.adapters.selection import Current, Selection
from seqrl_cli.models.decoding.invariant_linear import MakeLinear
from seqrl_cli.models.decoding.routed_linear import RowAdapter


class Pool(Protocol):
    """Parameters of the members of a pool.

    Attributes:
        tensors: names of its ``nn.ParameterList``, each with one parameter per member.
    """

    tensors: Sequence[str]

    def reset(self, member: int, generator: torch.Generator | None) -> None:
        """Initialise a member."""


class Adapter(Pool, Protocol):
    """Changes the inputs or the outputs of a linear layer; a new member changes nothing."""

    def before(self, x: Tensor, selected: Selection) -> Tensor:
        """The changed inputs (batch, ..., inputs)."""

    def after(self, x: Tensor, y: Tensor, selected: Selection) -> Tensor:
        """The changed outputs (batch, ..., outputs)."""

    def merged(self, weight: Tensor, bias: Tensor | None, member: int) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear layer that is equivalent to the adapted one."""

    def rows(self, member: int, make: MakeLinear, first: int) -> RowAdapter:
        """A member for a decoder, in which the layer's outputs begin at ``first``."""


class AdaptedLinear(nn.Linear):
    """A linear layer whose inputs and outputs adapters change.

    It has the parameters of the layer that it replaces, under the same names, so the names of the model's own weights
    stay as they are.

    Args:
        layer: the layer to replace, whose parameters are shared.
        current: the members in use, shared by all layers of the model.
        pool: number of members.
    """

    def __init__(self, layer: nn.Linear, current: Current, pool: int) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight = layer.weight
        self.bias = layer.bias
        self.current = current
        self.pool = pool
        self.adapters = nn.ModuleDict()

    def named_adapters(self) -> dict[str, Adapter]:
        """The adapters by the last part of the target that put them here."""
        return cast(dict[str, Adapter], dict(self.adapters.items()))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ..., inputs) -> (batch, ..., outputs)."""
        selected = self.current.selection
        if selected is None:
            return super().forward(x)
        adapters = list(self.named_adapters().values())
        for adapter in adapters:
            x = adapter.before(x, selected)
        y = super().forward(x)
        for adapter in adapters:
            y = adapter.after(x, y, selected)
        return y

    def merged(self, member: int | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the linear layer that is equivalent to this one with a member."""
        weight, bias = self.base_weights()
        if member is not None:
            for adapter in self.named_adapters().values():
                weight, bias = adapter.merged(weight, bias, member)
        return weight, bias

    def merged_weight(self) -> Tensor:
        """The weight (outputs, inputs) of the equivalent layer with the member in use."""
        return self.merged(self.selected_member())[0]

    def merged_bias(self) -> Tensor | None:
        """The bias (outputs,) of the equivalent layer with the member in use."""
        return self.merged(self.selected_member())[1]

    def plain(self) -> nn.Linear:
        """The layer without adapters, with the same parameters."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        layer.weight = self.weight
        layer.bias = self.bias
        return layer

    def base_weights(self) -> tuple[Tensor, Tensor | None]:
        """Weight (outputs, inputs) and bias (outputs,) without adapters."""
        return self.weight, self.bias

    def row_adapters(self, make: MakeLinear, first: int) -> dict[int, list[RowAdapter]]:
        """The adapters of each member for a decoder, in which the layer's outputs begin at ``first``."""
        adapters = list(self.named_adapters().values())
        return {member: [one.rows(member, make, first) for one in adapters] for member in range(self.pool)}

    def selected_member(self) -> int | None:
        """The member that is in use for every sample; None for none."""
        return self.current.only_member()
