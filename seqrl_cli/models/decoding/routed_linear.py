"""Linear layers in a decoder whose rows different adapters change, as different episodes use them.

On a CPU, an episode's result does not depend on the other episodes, bit for bit: all products treat rows alike, and
rows without an adapter are computed as if the decoder had none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from seqrl_cli.models.decoding.episode_adapters import EpisodeAdapters
from seqrl_cli.models.decoding.invariant_linear import DecoderLinear, MakeLinear, merged


class RowAdapter(Protocol):
    """One adapter at one linear layer, for rows of one episode or of several, without gradients."""

    changes_inputs: bool

    def before(self, x: Tensor) -> Tensor:
        """The changed inputs (rows, inputs), the given tensor or a new one."""

    def after(self, x: Tensor, y: Tensor) -> None:
        """Change the layer's outputs ``y`` (rows, outputs) in place, given its inputs (rows, inputs)."""


@runtime_checkable
class Adaptable(Protocol):
    """A linear layer with a pool of adapters."""

    def base_weights(self) -> tuple[Tensor, Tensor | None]:
        """Weight (outputs, inputs) and bias (outputs,) without adapters."""

    def selected_member(self) -> int | None:
        """The member that is in use for every sample; None for none."""

    def row_adapters(self, make: MakeLinear, first: int) -> dict[int, list[RowAdapter]]:
        """The adapters of each member, for outputs of which the layer's own begin at ``first``."""


class RoutedLinear:
    """A decoder's linear layer with adapters.

    Args:
        layer: the layer without adapters.
        adapters: the adapters of each member.
        episodes: says which rows use which member.
    """

    def __init__(
        self, layer: DecoderLinear, adapters: Mapping[int, Sequence[RowAdapter]], episodes: EpisodeAdapters
    ) -> None:
        self.layer = layer
        self.adapters = adapters
        self.episodes = episodes
        self._changes_inputs = any(adapter.changes_inputs for own in adapters.values() for adapter in own)

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), a new tensor."""
        rows = self.episodes.rows(len(x))
        if rows and self._changes_inputs:
            x = x.clone()
            for member, some in rows:
                for adapter in self.adapters[member]:
                    x[some] = adapter.before(x[some])
        y = self.layer(x)
        for member, some in rows:
            for adapter in self.adapters[member]:
                adapter.after(x[some], y[some])
        return y

    def relu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> ReLU of (rows, outputs)."""
        return self(x).relu_() if self.episodes.rows(len(x)) else self.layer.relu(x)

    def add_residual(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` (rows, outputs) plus the output for ``x`` (rows, inputs), a new tensor."""
        rows = self.episodes.rows(len(x))
        if sum(some.stop - some.start for _, some in rows) == len(x):
            return self(x).add_(residual)
        output = self.layer.add_residual(residual, x)
        if rows:
            adapted = self(x)
            for _, some in rows:
                output[some] = residual[some] + adapted[some]
        return output


def routed(make: MakeLinear, episodes: EpisodeAdapters, *layers: nn.Module) -> DecoderLinear | RoutedLinear:
    """One layer whose outputs are those of several linear layers with equal inputs, one after the other.

    Args:
        make: makes the layer without adapters.
        episodes: told which member the layers use now.
        *layers: linear layers or their replacements, all with a bias or none.
    """
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    adapters: dict[int, list[RowAdapter]] = {}
    first = 0
    for layer in layers:
        weight, bias = layer.base_weights() if isinstance(layer, Adaptable) else merged(layer)
        if isinstance(layer, Adaptable):
            episodes.set_default(layer.selected_member())
            for member, own in layer.row_adapters(make, first).items():
                adapters.setdefault(member, []).extend(own)
        weights.append(weight)
        biases += [] if bias is None else [bias]
        first += len(weight)
    assert len(biases) in (0, len(layers)), "all have a bias or none"
    whole = make(torch.cat(weights), torch.cat(biases) if biases else None)
    return RoutedLinear(whole, adapters, episodes) if adapters else whole
