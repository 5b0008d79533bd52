"""Faster updates: bf16 matrix products and ``torch.compile``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import nn

from seqrl_cli.errors import SeqrlError

Precision = Literal["float32", "bf16"]


def resolve_precision(precision: Literal["auto", "float32", "bf16"], device: torch.device) -> Precision:
    """Replace ``auto`` by the faster precision on a device.

    That is bf16 where the hardware multiplies it: there, a training step at hopper's sizes is 2.4 times as fast as in
    float32 (``python -m tests.benchmarks.training``, one thread of a Zen 5). Emulated bf16 is slower.

    Args:
        precision: the precision that was asked for; returned unchanged unless ``auto``.
        device: the model's device.
    """
    if precision != "auto":
        return precision
    return "bf16" if _multiplies_bf16(device) else "float32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """A context for a forward pass and its loss; weights and their gradients stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def compiled(model: nn.Module) -> Callable[..., Any]:
    """The model's forward pass, compiled at its first call.

    PyTorch's warning that complex numbers are not compiled is silenced, since users cannot act on it.

    Returns:
        A function of the model's inputs. It raises SeqrlError if the model cannot be compiled, mostly because there is
        no C++ compiler.
    """
    from torch._dynamo.exc import TorchDynamoException  # takes a second or two, so only when needed

    warnings.filterwarnings("ignore", message="Torchinductor does not support code generation for complex")
    fast = torch.compile(model)

    def forward(*inputs: torch.Tensor) -> Any:
        try:
            return fast(*inputs)
        except TorchDynamoException as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            hint = "install a C++ compiler, g++ for example, or train without train.compile=true"
            raise SeqrlError(f"the model cannot be compiled: {reason}", hint) from error

    return forward


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
