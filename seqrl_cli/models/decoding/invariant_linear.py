"""Linear layers whose result for a row does not depend on the rest of the batch, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.native import library
from seqrl_cli.native.linear import NativeLinear

SMALLEST_INVARIANT_BATCH = 32
"""Fewest rows for which a product gives each row the same bits in any batch; fewer rows take other code paths.

On a CPU with AVX-512, one thread needs 4 rows and 16 threads need 28.
"""

SMALLEST_INVARIANT_OUTPUT = 16
"""Fewest outputs for the same: with fewer, a row's position in the batch can matter."""

LARGEST_INVARIANT_INPUT = 256
"""Most inputs for the same: longer sums are split in places that depend on the batch and the threads."""


class BatchInvariantLinear:
    """``x @ weight.T + bias`` with the weights stored as a matrix product reads them, (inputs, outputs).

    A row's result depends on nothing else, so an episode's plan does not depend on the episodes planned beside it. To
    this end, few rows and outputs are padded, and long sums are split in fixed places. For the sizes of a decoder this
    is up to twice as fast as ``functional.linear`` and as oneDNN's packed weights with fused activations.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        precision: precision of inputs and weights in products; everything else, including results, is float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, precision: torch.dtype = torch.float32) -> None:
        self.precision = precision
        self.bias = None if bias is None else bias.detach().float().clone()
        rounded = weight.detach().to(precision)
        self.outputs = len(rounded)
        columns = functional.pad(rounded.T, (0, max(0, SMALLEST_INVARIANT_OUTPUT - self.outputs)))
        self.columns = columns.clone(memory_format=torch.contiguous_format)
        self.parts = self.columns.split(LARGEST_INVARIANT_INPUT)
        self._packed = _pack(rounded) if _has_bf16_units(rounded) else None

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), a new tensor."""
        output = self._product(x)
        return output if self.bias is None else output.add_(self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> GELU, in its exact form, of (rows, outputs)."""
        return functional.gelu(self(x))

    def silu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> SiLU of (rows, outputs).

        Computed with tanh, since PyTorch's SiLU gives other bits at a tensor's end than in its middle.
        """
        output = self(x)
        return (0.5 * output).tanh_().mul_(0.5).add_(0.5).mul_(output)

    def relu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> ReLU of (rows, outputs)."""
        return self(x).relu_()

    def add_residual(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` (rows, outputs) plus the output for ``x`` (rows, inputs), a new tensor."""
        output = self._product(x, residual)
        return output if self.bias is None else output.add_(self.bias)

    def gated(self, factor: Tensor, x: Tensor) -> Tensor:
        """``factor`` (rows, outputs) times the output for ``x`` (rows, inputs), elementwise."""
        return self(x).mul_(factor)

    def _product(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        """The product of ``x`` (rows, inputs) with the weights, plus ``start`` (rows, outputs) unless None."""
        if self.precision != torch.float32:
            output = self._low_precision_product(x.to(self.precision)).float()
            return output if start is None else output.add_(start)
        columns = self.parts[0].shape[1]
        first, *others = _pad(x).split(LARGEST_INVARIANT_INPUT, dim=1)
        if start is None:
            output = torch.mm(first, self.parts[0])
        else:
            output = torch.addmm(_pad(start, columns), first, self.parts[0])
        for part, weights in zip(others, self.parts[1:], strict=True):
            output.addmm_(part, weights)
        return output[: len(x), : self.outputs].contiguous()  # copies only if padded

    def _low_precision_product(self, x: Tensor) -> Tensor:
        if self._packed is None:
            return torch.mm(x, self.columns)[:, : self.outputs]
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], "")
        return product


@runtime_checkable
class Mergeable(Protocol):
    """A module, such as an adapter, that replaces a linear layer and is equivalent to one linear layer."""

    def merged_weight(self) -> Tensor:
        """The weight (outputs, inputs) of the equivalent layer."""

    def merged_bias(self) -> Tensor | None:
        """The bias (outputs,) of the equivalent layer, if it has one."""


def merged_weight(layer: nn.Module) -> Tensor:
    """The weight (outputs, inputs) of a linear layer or its replacement."""
    weight = layer.merged_weight() if isinstance(layer, Mergeable) else layer.weight
    assert isinstance(weight, Tensor)
    return weight


def merged_bias(layer: nn.Module) -> Tensor | None:
    """The bias (outputs,) of a linear layer or its replacement, if it has one."""
    bias = layer.merged_bias() if isinstance(layer, Mergeable) else layer.bias
    assert bias is None or isinstance(bias, Tensor)
    return bias


def merged(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a linear layer or its replacement."""
    return merged_weight(layer), merged_bias(layer)


def joined(*layers: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of one linear layer whose outputs are those of several layers with biases, concatenated."""
    biases = [bias for layer in layers if (bias := merged_bias(layer)) is not None]
    assert len(biases) == len(layers), "all have a bias"
    return torch.cat([merged_weight(layer) for layer in layers]), torch.cat(biases)


DecoderLinear = BatchInvariantLinear | NativeLinear

MakeLinear = Callable[[Tensor, Tensor | None], DecoderLinear]
"""Makes a layer from a weight (outputs, inputs) and a bias (outputs,) or None."""


def fastest_linear(device: torch.device) -> MakeLinear:
    """The faster kind of layer for float32 weights on a device: C++ on a CPU if it is available, else PyTorch."""
    return NativeLinear if device.type == "cpu" and library.available() else BatchInvariantLinear


def _has_bf16_units(weight: Tensor) -> bool:
    """Whether oneDNN multiplies such weights; it would repack them for every product if they were not packed once."""
    is_half = weight.device.type == "cpu" and weight.dtype == torch.bfloat16
    return is_half and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return packed


def _pad(x: Tensor, columns: int = 0) -> Tensor:
    """Pad ``x`` (rows, width) with zeros: few rows below, and up to ``columns`` columns on the right."""
    rows = SMALLEST_INVARIANT_BATCH if x.is_cpu else 0
    below = max(0, rows - len(x))
    right = max(0, columns - x.shape[1])
    return functional.pad(x, (0, right, 0, below)) if below or right else x
