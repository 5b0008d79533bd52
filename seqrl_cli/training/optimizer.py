"""Optimizers by name, with and without weight decay by parameter; and optimizer states by parameter name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import joined_parameters
from seqrl_cli.models.embedding import PositionHead
from seqrl_cli.training.lamb import Lamb
from seqrl_cli.training.lion import Lion
from seqrl_cli.training.muon import MuonWithAdamW

OptimizerName: TypeAlias = Literal["adamw", "adam", "lamb", "lion", "muon"]
"""``lamb`` decays all parameters, the others matrices only; ``adam`` adds the decay to the gradients."""


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are not frozen, by name, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def decayed_parameters(model: nn.Module) -> set[str]:
    """Names of the parameters with weight decay: the matrices of linear layers and heads."""
    return {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear | PositionHead)}


def make_optimizer(
    model: nn.Module, learning_rate: float, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.1
) -> torch.optim.AdamW:
    """AdamW for the trainable parameters (Loshchilov and Hutter 2019), with decay of ``decayed_parameters`` only.

    Args:
        model: the model, on its device.
        learning_rate: learning rate before the schedule.
        betas: decay of the first and second moment.
        weight_decay: weight decay of the decayed parameters.
    """
    return torch.optim.AdamW(_groups(model, weight_decay), lr=learning_rate, betas=betas, fused=True)


def optimizer_by_name(
    name: OptimizerName,
    model: nn.Module,
    learning_rate: float,
    betas: tuple[float, float],
    weight_decay: float,
    matrix_rate: float = 0.03,
) -> torch.optim.Optimizer:
    """An optimizer of a model's trainable parameters; arguments as for ``make_optimizer`` and ``make_muon``."""
    if name == "muon":
        return make_muon(model, matrix_rate, learning_rate, betas, weight_decay)
    if name == "lamb":
        parameters, joined = trainable_parameters(model).values(), joined_parameters(model)
        return Lamb(parameters, lr=learning_rate, betas=betas, weight_decay=weight_decay, joined=joined)
    if name == "lion":
        return Lion(_groups(model, weight_decay), lr=learning_rate, betas=betas)
    if name == "adam":
        return torch.optim.Adam(_groups(model, weight_decay), lr=learning_rate, betas=betas, fused=True)
    return make_optimizer(model, learning_rate, betas, weight_decay)


def make_muon(
    model: nn.Module, matrix_rate: float, learning_rate: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """Muon for the matrices of linear layers, AdamW for the rest (for all if no matrix learns), each at its own rate.

    The heads of a ``gpt`` and a ``retnet`` are of a kind of their own and belong to the rest. Those of an ``mddt``, and
    the layers that read its observations, are linear.

    Args:
        model: the model, on its device.
        matrix_rate: learning rate of Muon, before the schedule.
        learning_rate: learning rate of AdamW, before the schedule.
        betas: AdamW's moment decays.
        weight_decay: weight decay of the matrices and the heads.
    """
    trainable = trainable_parameters(model)
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    matrices = [parameter for name, parameter in trainable.items() if name in linear]
    if not matrices:
        return make_optimizer(model, learning_rate, betas, weight_decay)
    rest = {name: parameter for name, parameter in trainable.items() if name not in linear}
    return MuonWithAdamW(matrices, _groups(model, weight_decay, rest), matrix_rate, learning_rate, betas, weight_decay)


def _groups(
    model: nn.Module, weight_decay: float, parameters: Mapping[str, nn.Parameter] | None = None
) -> list[dict[str, Any]]:
    """The given parameters, or all trainable ones, with weight decay, and those without."""
    decayed = decayed_parameters(model)
    parameters = trainable_parameters(model) if parameters is None else parameters
    return [
        {"params": [p for name, p in parameters.items() if name in decayed], "weight_decay": weight_decay},
        {"params": [p for name, p in parameters.items() if name not in decayed], "weight_decay": 0.0},
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of all groups; some learn at a fixed multiple of it."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("relative_rate", 1.0)


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Moments and step counts, named ``<parameter>.<moment>``, for a checkpoint."""
    return {
        f"{name}.{key}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Restore what ``optimizer_tensors`` returned; copies, on the parameters' devices.

    Raises:
        SeqrlError: a tensor belongs to a parameter that does not learn now.
    """
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition(".")
        if name not in parameters:
            message = f"the checkpoint holds optimizer state of {name}, which does not learn now"
            raise SeqrlError(message, "resume with the same trainable parameters, or start over with --force")
        parameter = parameters[name]
        optimizer.state[parameter][key] = tensor.to(parameter.device, copy=True)
