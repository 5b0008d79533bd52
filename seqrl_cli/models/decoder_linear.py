"""Linear layers that treat a row the same in any batch, bit for bit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_INVARIANT_BATCH = 8
"""Rows from which a product gives a row bit for bit the same result in any batch; fewer take other code."""

LARGEST_INVARIANT_INPUT = 256
"""Inputs up to which it does: longer sums are cut into parts, and where depends on the batch and on the threads."""


class PackedLinear:
    """``x @ weight.T + bias`` with the weights laid out as a matrix product reads them, (inputs, outputs).

    That the result of a row depends on nothing else makes an episode's plan independent of the episodes planned beside
    it. So few rows are padded, and many inputs summed up in parts of our own choice. For the sizes of a decoder this
    is up to twice as fast as ``functional.linear``, and as oneDNN's packed weights with what follows fused in.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        transposed = weight.detach().float().T.clone(memory_format=torch.contiguous_format)
        self.parts = transposed.split(LARGEST_INVARIANT_INPUT)
        self.bias = None if bias is None else bias.detach().float().clone()

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs), a new tensor."""
        padded = _pad(x)
        first, *others = padded.split(LARGEST_INVARIANT_INPUT, dim=1)
        image = torch.mm(first, self.parts[0])
        return self._finish(image, others)[: len(x)]

    def gelu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> GELU, in its exact form, of (rows, outputs)."""
        return functional.gelu(self(x))

    def silu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> SiLU of (rows, outputs).

        By the hyperbolic tangent: PyTorch's SiLU is not the same, bit for bit, at a tensor's end as in its middle.
        """
        image = self(x)
        return (0.5 * image).tanh_().mul_(0.5).add_(0.5).mul_(image)

    def relu(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> ReLU of (rows, outputs)."""
        return self(x).relu_()

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` (rows, outputs) plus the image of ``x`` (rows, inputs), a new tensor."""
        padded = _pad(x)
        first, *others = padded.split(LARGEST_INVARIANT_INPUT, dim=1)
        image = torch.addmm(_pad(residual), first, self.parts[0])
        return self._finish(image, others)[: len(x)]

    def times(self, factor: Tensor, x: Tensor) -> Tensor:
        """``factor`` (rows, outputs) times the image of ``x`` (rows, inputs), number by number."""
        return self(x).mul_(factor)

    def _finish(self, image: Tensor, others: list[Tensor]) -> Tensor:
        """Add the other parts of the inputs, and the bias, to an image."""
        for x, part in zip(others, self.parts[1:], strict=True):
            image.addmm_(x, part)
        return image if self.bias is None else image.add_(self.bias)


def _pad(x: Tensor) -> Tensor:
    """Rows (rows, width), and zeros below if they are few."""
    missing = SMALLEST_INVARIANT_BATCH - len(x)
    return x if missing <= 0 or x.device.type != "cpu" else functional.pad(x, (0, 0, 0, missing))
