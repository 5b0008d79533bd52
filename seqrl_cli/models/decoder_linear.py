"""Linear layers for inference, whose result for a row does not depend on the rows beside it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_INVARIANT_BATCH = 8
"""Rows from which ``functional.linear`` gives a row bit for bit the same result in any batch; fewer take other code."""


class PackedLinear:
    """``x @ weight.T + bias`` with weights laid out for oneDNN, where torch has it, and plain elsewhere.

    oneDNN's kernel works on the packed weights, applies an exact GELU, adds or multiplies by another tensor while a
    result is still in registers, and is two to three times as fast as the default one for the sizes of a decoder. It
    also computes a row the same way whatever batch it is in, bit for bit, which is what makes an episode's plan
    independent of the episodes planned beside it. The default kernel does so from :data:`SMALLEST_INVARIANT_BATCH` rows
    on, hence the padding.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight = weight.detach().float().clone(memory_format=torch.contiguous_format)
        self.bias = None if bias is None else bias.detach().float().clone()
        self._packed = _pack(self.weight) if _has_onednn(self.weight) else None

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs)."""
        return self._pointwise(x, "none", "")

    def gelu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> GELU, in its exact form, of (rows, outputs)."""
        return self._pointwise(x, "gelu", "none")

    def silu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> SiLU of (rows, outputs)."""
        return self._pointwise(x, "swish", "")

    def relu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> ReLU of (rows, outputs)."""
        return self._pointwise(x, "relu", "")

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` (rows, outputs) plus the image of ``x`` (rows, inputs)."""
        if self._packed is None:
            return residual + self(x)
        added: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._packed, self.bias, "add")
        return added

    def times(self, factor: Tensor, x: Tensor) -> Tensor:
        """``factor`` (rows, outputs) times the image of ``x`` (rows, inputs), number by number."""
        if self._packed is None:
            return factor * self(x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, factor, self._packed, self.bias, "mul")
        return product

    def _pointwise(self, x: Tensor, after: str, algorithm: str) -> Tensor:
        if self._packed is None:
            image = _padded_linear(x, self.weight, self.bias)
            return _AFTER[after](image)
        fused: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, after, [], algorithm)
        return fused


def _has_onednn(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and torch.backends.mkldnn.is_available() and hasattr(torch.ops, "mkldnn")


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, 128)
    return packed


def _silu(x: Tensor) -> Tensor:
    """By the hyperbolic tangent: PyTorch's SiLU is not the same, bit for bit, at a tensor's end as in its middle."""
    return x * (0.5 + 0.5 * torch.tanh(0.5 * x))


_AFTER: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "gelu": functional.gelu,
    "relu": functional.relu,
    "swish": _silu,
}


def _padded_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows = len(x)
    if rows < SMALLEST_INVARIANT_BATCH and x.device.type == "cpu":
        x = functional.pad(x, (0, 0, 0, SMALLEST_INVARIANT_BATCH - rows))
    return functional.linear(x, weight, bias)[:rows]
