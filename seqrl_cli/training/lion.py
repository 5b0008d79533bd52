"""Lion: steps of equal size in every number, by the sign of a mean gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """Evolved sign momentum (Chen et al. 2023, arXiv 2302.06675, algorithm 2).

    Its paper's learning rates are 3 to 10 times as small as AdamW's, with weight decays larger by the same factor.

    Args:
        params: parameters, or groups of them.
        lr: learning rate, the size of every step.
        betas: weights of the mean gradient in a step, and in the next mean gradient.
        weight_decay: decoupled weight decay, as AdamW's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._step_group(parameters, group)

    def _step_group(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means = [self._mean_of(parameter) for parameter in parameters]
        beta1, beta2 = group["betas"]
        steps = torch._foreach_lerp(means, gradients, 1 - beta1)
        torch._foreach_sign_(steps)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(steps), alpha=-group["lr"])
        torch._foreach_lerp_(means, gradients, 1 - beta2)

    def _mean_of(self, parameter: Tensor) -> Tensor:
        """A parameter's mean gradient, zero before its first step."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
        return state["exp_avg"]
