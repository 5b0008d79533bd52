"""How much memory a model takes, found out before anything is allocated."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import torch
from torch import nn

from seqrl_cli.console import byte_size
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.device import available_memory

Model = TypeVar("Model", bound=nn.Module)

SIZES_HINT = "lower model.width, model.n_layer or model.sequence_length"


def build_if_it_fits(make: Callable[[], Model]) -> Model:
    """Build a model in memory, unless it needs more than is free.

    Raises:
        SeqrlError: it does.
    """
    require_memory(model_bytes(make), torch.device("cpu"), "the model", SIZES_HINT)
    return make()


def require_memory(needed: int, device: torch.device, what: str, hint: str) -> None:
    """Stop where a device has less free memory than something needs.

    Raises:
        SeqrlError: names both amounts.
    """
    free = available_memory(device)
    if needed > free:
        where = "memory" if device.type == "cpu" else f"memory of {device}"
        raise SeqrlError(f"{what} needs {_amount(needed)}, but only {byte_size(free)} of {where} are free", hint)


def model_bytes(make: Callable[[], nn.Module]) -> int:
    """Bytes of a model's parameters and buffers, counted on PyTorch's meta device."""
    try:
        with torch.device("meta"):
            model = make()
    except RuntimeError as error:
        if "overflow" not in str(error).lower():
            raise
        return sys.maxsize  # PyTorch cannot even count them
    return sum(part.numel() * part.element_size() for part in chain(model.parameters(), model.buffers()))


def _amount(needed: int) -> str:
    return f"more than {byte_size(sys.maxsize)}" if needed >= sys.maxsize else byte_size(needed)
