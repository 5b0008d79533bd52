"""Linear layers on a CPU by the C++ in linear.cpp."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.native import library, structs

ACTIVATIONS = {name: number for number, name in enumerate(("none", "relu", "gelu", "silu"))}


class Panels:
    """A linear layer's weights in the layout that the C++ reads; they must outlive ``layer``.

    Args:
        weight: (outputs, inputs), on the CPU; copied.
        bias: (outputs,), or None.

    Attributes:
        weights: (outputs / panel, inputs, panel) float32, outputs rounded up.
        bias: (outputs,) float32, outputs rounded up.
        layer: the argument of the C++.

    Raises:
        CompilationError: the C++ cannot be compiled on this machine.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        outputs, inputs = weight.shape
        panel = library.load().panel()
        missing = -outputs % panel
        rows = functional.pad(weight.detach().float(), (0, 0, 0, missing)).unflatten(0, (-1, panel))
        self.weights = rows.transpose(1, 2).clone(memory_format=torch.contiguous_format)
        self.bias = torch.zeros(outputs + missing)
        if bias is not None:
            self.bias[:outputs] = bias.detach()
        self.layer = structs.PackedLinear(self.weights.data_ptr(), self.bias.data_ptr(), inputs, outputs + missing)


class NativeLinear:
    """A linear layer whose result for a row does not depend on the batch, which is fast even for few rows.

    It can replace :class:`~seqrl_cli.models.decoding.invariant_linear.BatchInvariantLinear`.

    Args:
        weight: (outputs, inputs), on the CPU; copied.
        bias: (outputs,), or None.

    Raises:
        CompilationError: the C++ cannot be compiled on this machine.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.outputs, self.inputs = weight.shape
        self._panels = Panels(weight, bias)
        self._multiply = library.load().multiply

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), a new tensor."""
        return self._output(x)

    def gelu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> GELU, in its exact form, of (rows, outputs)."""
        return self._output(x, "gelu")

    def silu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> SiLU of (rows, outputs)."""
        return self._output(x, "silu")

    def relu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> ReLU of (rows, outputs)."""
        return self._output(x, "relu")

    def add_residual(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` (rows, outputs) plus the output for ``x`` (rows, inputs), a new tensor."""
        residual = residual.contiguous()
        assert residual.shape == (x.shape[0], self.outputs) and residual.dtype == torch.float32
        return self._output(x, start=residual)

    def gated(self, factor: Tensor, x: Tensor) -> Tensor:
        """``factor`` (rows, outputs) times the output for ``x`` (rows, inputs), elementwise."""
        return self._output(x).mul_(factor)

    def _output(self, x: Tensor, activation: str = "none", start: Tensor | None = None) -> Tensor:
        """The activation of the product plus bias, plus ``start`` unless None."""
        rows, inputs = x.shape
        assert inputs == self.inputs and x.dtype == torch.float32
        if x.stride(1) != 1:
            x = x.contiguous()
        out = torch.empty(rows, self.outputs)
        self._multiply(
            self._panels.layer,
            x.data_ptr(),
            x.stride(0),
            rows,
            None if start is None else start.data_ptr(),
            out.data_ptr(),
            self.outputs,
            ACTIVATIONS[activation],
            torch.get_num_threads(),
        )
        return out
