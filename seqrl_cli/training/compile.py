"""A model compiled with ``torch.compile``, whose failures are told in a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from seqrl_cli.errors import SeqrlError


def compiled(model: nn.Module) -> Callable[..., Any]:
    """The model's forward pass, compiled when it is first called.

    PyTorch's warning that complex numbers are not compiled is silenced: nobody can do anything about it.

    Returns:
        Takes what the model takes; raises SeqrlError where it cannot be compiled, for want of a C++ compiler mostly.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second or two, which only those wait who compile

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
