"""What a module of models tells about its architecture, found through the registry's entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from seqrl_cli.config.architectures import ARCHITECTURES, Architecture
from seqrl_cli.models.decoding.interface import Decoder, Window

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Implementation:
    """How models of an architecture are made and known.

    Attributes:
        model: the class of its models.
        make: the constructor, which takes keyword arguments.
        owns: whether weights are this architecture's, by names and sizes that only it has.
    """

    model: type[nn.Module]
    make: Callable[..., nn.Module]
    owns: Callable[[State], bool]


@dataclass(frozen=True)
class TokenImplementation(Implementation):
    """How models of tokens are made and decoded.

    Attributes:
        decoder: the decoder in PyTorch, of a model, a window, the precision of products with weights, and whether
            plans are to be CUDA graphs.
        compiled_decoder: the decoder with C++ of a model on a CPU and a window; raises CompilationError.
        has_graphs: whether its plans can be CUDA graphs.
    """

    decoder: Callable[[Any, Window | None, torch.dtype, bool], Decoder]
    compiled_decoder: Callable[[Any, Window | None], Decoder]
    has_graphs: bool


def implementation(arch: str) -> Implementation:
    """The implementation that the registry's entry names."""
    module, _, name = ARCHITECTURES[arch].model.partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, Implementation)
    return found


def architecture_of_model(model: nn.Module) -> Architecture:
    """The first architecture of the registry with models of this class."""
    return next(entry for name, entry in ARCHITECTURES.items() if isinstance(model, implementation(name).model))


def architecture_of_weights(state: State) -> str:
    """Which architecture weights belong to; in words where it is none of them."""
    return next((name for name in ARCHITECTURES if implementation(name).owns(state)), "model of another kind")
