"""Adapters in a decoder: one member at one linear layer, its weights copied for rows without gradients."""

from __future__ import annotations

from torch import Tensor

from seqrl_cli.models.decoding.invariant_linear import DecoderLinear, MakeLinear


class LowRankRows:
    """LoRA of some rows.

    Args:
        down: (rank, inputs).
        up: (outputs, rank), scaled.
        columns: the columns of the layer's outputs that are changed.
        make: makes the products.
        on_outputs: whether multiples of the layer's outputs are added instead of multiples of its inputs.
    """

    changes_inputs = False

    def __init__(self, down: Tensor, up: Tensor, columns: slice, make: MakeLinear, on_outputs: bool = False) -> None:
        self.down = make(down, None)
        self.up = make(up, None)
        self.columns = columns
        self.on_outputs = on_outputs

    def before(self, x: Tensor) -> Tensor:
        """The inputs, unchanged."""
        return x

    def after(self, x: Tensor, y: Tensor) -> None:
        """Add the product to the columns of ``y`` (rows, outputs)."""
        changed = y[:, self.columns]
        y[:, self.columns] = self.up.add_residual(changed, self.down(changed if self.on_outputs else x))


class ScalingRows:
    """IA3 of some rows.

    Args:
        scale: (numbers,), the factors.
        columns: the columns of the layer's inputs or outputs that are multiplied.
        on_inputs: whether they are inputs.
    """

    def __init__(self, scale: Tensor, columns: slice, on_inputs: bool) -> None:
        self.scale = scale.clone()
        self.columns = columns
        self.changes_inputs = on_inputs

    def before(self, x: Tensor) -> Tensor:
        """The inputs (rows, inputs), multiplied if they are what is adapted."""
        return x * self.scale if self.changes_inputs else x

    def after(self, x: Tensor, y: Tensor) -> None:
        """Multiply the columns of ``y`` (rows, outputs), unless the inputs are."""
        if not self.changes_inputs:
            y[:, self.columns] *= self.scale


class BottleneckRows:
    """A bottleneck behind some rows.

    Args:
        down: (rows, outputs) -> (rows, inner).
        up: (rows, inner) -> (rows, outputs).
        columns: the columns of the layer's outputs that are changed.
    """

    changes_inputs = False

    def __init__(self, down: DecoderLinear, up: DecoderLinear, columns: slice) -> None:
        self.down = down
        self.up = up
        self.columns = columns

    def before(self, x: Tensor) -> Tensor:
        """The inputs, unchanged."""
        return x

    def after(self, x: Tensor, y: Tensor) -> None:
        """Add the bottleneck's outputs to the columns of ``y`` (rows, outputs)."""
        changed = y[:, self.columns]
        y[:, self.columns] = self.up.add_residual(changed, self.down.silu(changed))
