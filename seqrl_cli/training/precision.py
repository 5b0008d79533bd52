"""Which number format the matrix products of training use."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["float32", "bf16"]


def resolve_precision(precision: Literal["auto", "float32", "bf16"], device: torch.device) -> Precision:
    """What ``auto`` means on a device.

    bf16 where the hardware multiplies it: there a training step at hopper's sizes is 2.4 times as fast as in float32
    (``python -m tests.benchmarks.training``, one thread of a Zen 5); where it is emulated it is slower.

    Args:
        precision: anything but ``auto`` is returned as it is.
        device: where the model is.
    """
    if precision != "auto":
        return precision
    return "bf16" if _multiplies_bf16(device) else "float32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """The context in which a forward pass and its loss run; weights and their gradients stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
