"""How an architecture's models are made, recognized and decoded; found through the registry."""

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
    """How models of an architecture are made and recognized.

    Attributes:
        model: the class of its models.
        make: the constructor, which takes keyword arguments.
        owns: whether weights belong to this architecture, judged by names and sizes that only it has.
    """

    model: type[nn.Module]
    make: Callable[..., nn.Module]
    owns: Callable[[State], bool]


@dataclass(frozen=True)
class TokenImplementation(Implementation):
    """How token models are made and decoded.

    Attributes:
        decoder: makes the PyTorch decoder from a model, a window, the precision of products with weights, and whether
            plans will be captured as CUDA graphs.
        compiled_decoder: makes the C++ decoder from a model on a CPU and a window; raises CompilationError.
        has_graphs: whether plans can be captured as CUDA graphs.
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
    """The first architecture in the registry whose models have this class."""
    return next(entry for name, entry in ARCHITECTURES.items() if isinstance(model, implementation(name).model))


def architecture_of_weights(state: State) -> str:
    """The name of the architecture that weights belong to; a description if they belong to none."""
    return next((name for name in ARCHITECTURES if implementation(name).owns(state)), "model of another kind")
