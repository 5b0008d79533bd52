"""Penalties that hold weights near their values after earlier tasks: L2 and elastic weight consolidation (EWC).

EWC weights each number by its Fisher information (Kirkpatrick et al. 2017, arXiv 1612.00796, equation 3): the mean over
windows of the squared gradient of the log likelihood, window by window. The squared gradient of a batch's mean would be
smaller by about the batch's size, and noise for large batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Anchor:
    """Weights to stay near to.

    Attributes:
        values: the values to stay near to, by name.
        importance: importance of each number, by name; all ones for L2.
    """

    values: Mapping[str, Tensor]
    importance: Mapping[str, Tensor]

    @classmethod
    def at(cls, parameters: Mapping[str, nn.Parameter], importance: Mapping[str, Tensor] | None = None) -> Anchor:
        """The present weights; with ones as importance if None."""
        values = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        return cls(values, importance or {name: torch.ones_like(value) for name, value in values.items()})

    def penalty(self, parameters: Mapping[str, nn.Parameter]) -> Tensor:
        """Half the weighted sum of squared distances."""
        terms = [
            (self.importance[name] * (parameters[name] - value).square()).sum() for name, value in self.values.items()
        ]
        return 0.5 * torch.stack(terms).sum()

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors by name, for :meth:`from_tensors`."""
        values = {f"values.{name}": value for name, value in self.values.items()}
        return {**values, **{f"importance.{name}": value for name, value in self.importance.items()}}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Anchor:
        """The anchor that :meth:`tensors` described."""
        parts: dict[str, dict[str, Tensor]] = {"values": {}, "importance": {}}
        for name, tensor in tensors.items():
            part, _, own = name.partition(".")
            parts[part][own] = tensor
        return cls(parts["values"], parts["importance"])

    def joined(self, other: Anchor) -> Anchor:
        """One anchor for both tasks: this one's values, and the sum of importances, as in online EWC.

        Online EWC is Schwarz et al. 2018, arXiv 1805.06370, section 4, without decay.
        """
        importance = {name: value + other.importance[name] for name, value in self.importance.items()}
        return Anchor(self.values, importance)


def fisher_information(
    parameters: Mapping[str, nn.Parameter], losses: Iterable[Callable[[], Tensor]]
) -> dict[str, Tensor]:
    """The mean squared gradient of some windows' losses, by parameter.

    Args:
        parameters: the parameters, by name, all of which need gradients.
        losses: one function per window, which computes its negative log likelihood.
    """
    sums = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    count = 0
    for loss in losses:
        gradients = torch.autograd.grad(loss(), list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                sums[name] += gradient.square()
        count += 1
    return {name: total / max(1, count) for name, total in sums.items()}
