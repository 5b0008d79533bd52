"""LAMB: Adam with the step of each tensor scaled to the tensor's norm.

This is the variant that the Online Decision Transformer was trained with: bias-corrected moments, no bound on a
tensor's norm, and plain Adam where there is no weight decay. The maintained library that offers LAMB does not correct
the bias and bounds norms at 10, which a layer of the paper's width exceeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Layerwise adaptive moments (You et al. 2020, arXiv 1904.00962, algorithm 2).

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        betas: decay of the first and second moment.
        eps: number that is added to the root of the second moment.
        weight_decay: fraction of a weight added to its update; at zero the update is Adam's.
        joined: sets of parameters that count as one tensor when norms are measured.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        joined: Iterable[Sequence[Tensor]] = (),
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self._leader = {parameter: together[0] for together in joined for parameter in together}

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
        states = [self._state_of(parameter) for parameter in parameters]
        first, second = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        torch._foreach_add_([state["step"] for state in states], 1)
        beta1, beta2 = group["betas"]
        count = float(states[0]["step"])

        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        scales = torch._foreach_div(second, 1 - beta2**count)
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, group["eps"])
        updates = list(torch._foreach_div(first, 1 - beta1**count))
        torch._foreach_div_(updates, scales)
        if group["weight_decay"]:
            torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
            torch._foreach_mul_(updates, self._trust_ratios(parameters, updates))
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """A parameter's moments, zero before its first step."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state

    def _trust_ratios(self, parameters: list[Tensor], updates: list[Tensor]) -> list[Tensor]:
        """Norm of each parameter's layer divided by that of the layer's update; 1 where either is zero."""
        leaders = [self._leader.get(parameter, parameter) for parameter in parameters]
        numbers = {leader: number for number, leader in enumerate(dict.fromkeys(leaders))}
        layers = torch.tensor([numbers[leader] for leader in leaders], device=parameters[0].device)
        norms, lengths = _layer_norms(parameters, layers), _layer_norms(updates, layers)
        return list(torch.where((norms > 0) & (lengths > 0), norms / lengths, 1.0).unbind())


def _layer_norms(tensors: list[Tensor], layers: Tensor) -> Tensor:
    """The norm of each tensor's whole layer, (tensors,); ``layers`` (tensors,) numbers the layers."""
    norms = torch.stack(list(torch._foreach_norm(tensors)))
    squares = norms.double().square()  # in double precision the root of a square is exact
    return squares.new_zeros(len(tensors)).index_add(0, layers, squares).sqrt()[layers].to(norms.dtype)
