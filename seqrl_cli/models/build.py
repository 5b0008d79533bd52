"""Architectures by name: their models and the decoders of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError, UsageError, unknown
from seqrl_cli.models.decision import build as policies
from seqrl_cli.models.decoding.interface import Decoder, Window
from seqrl_cli.models.gpt.decoder import GPTDecoder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
from seqrl_cli.models.native.library import CompilationError, UnsupportedSystemError
from seqrl_cli.models.retnet.decoder import RetNetDecoder
from seqrl_cli.models.retnet.model import RetNet

ARCHITECTURES = {"gpt": GPT, "retnet": RetNet}

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}

TokenModel = GPT | RetNet
"""A model that maps tokens (batch, time) to the logits of the tokens that follow, (batch, time, bins + 1)."""


def build_model(arch: str, **arguments: Any) -> TokenModel:
    """Make a model of the named architecture.

    Args:
        arch: a key of ``ARCHITECTURES``.
        **arguments: the constructor's.

    Raises:
        SeqrlError: the architecture does not exist, or the arguments make no model.
    """
    if arch not in ARCHITECTURES:
        raise unknown("architecture", arch, ARCHITECTURES)
    model: TokenModel = ARCHITECTURES[arch](**arguments)
    return model


def build_decoder(
    model: TokenModel,
    window: Window | None,
    precision: str = "float32",
    engine: str = "auto",
    on_warning: Callable[[str], None] | None = None,
) -> Decoder:
    """The decoder of a model.

    Args:
        model: on its device; its weights are copied.
        window: which part of a sequence is seen; None for all of it, from step to step of an episode.
        precision: of products with weights, a key of ``PRECISIONS``.
        engine: ``native``, C++ compiled for this processor, ``torch``, or ``graph``, whose plans can be CUDA
            graphs; ``auto`` takes the first where it can, else the second.
        on_warning: told if it could be native, but cannot be compiled.

    Raises:
        SeqrlError: the model cannot hold the window, or not go without one, or the engine cannot be had.
    """
    if why := _not_native(model, precision) if engine != "graph" else _not_graph(model):
        if engine in ("native", "graph"):
            raise UsageError(f"plan.engine={engine} {why}", "use plan.engine=auto")
        engine = "torch"
    if isinstance(model, GPT) and window is None:
        message = "a gpt cannot carry its context from step to step: it sees a window"
        raise UsageError(message, "use plan.context=window, or a retnet")
    if engine in ("auto", "native"):
        try:
            return _compiled(model, window)
        except CompilationError as error:
            if engine == "native":
                raise
            if on_warning and not isinstance(error, UnsupportedSystemError):
                slower = "plans are made with PyTorch, which takes two to four times as long"
                on_warning(f"{error.message}: {slower} ({error.hint})")
    if isinstance(model, RetNet):
        return RetNetDecoder(model, window, PRECISIONS[precision])
    assert window is not None
    return GPTDecoder(model, window, PRECISIONS[precision], shares=engine != "graph")


def _compiled(model: TokenModel, window: Window | None) -> Decoder:
    """The decoder of a model on a CPU in C++, or with linear layers in C++; raises CompilationError."""
    if isinstance(model, RetNet):
        return RetNetDecoder(model, window, compiled=True)
    assert window is not None
    return NativeGPTDecoder(model, window)


def _not_native(model: TokenModel, precision: str) -> str | None:
    """Why there is no C++ for a model."""
    if device_of(model).type != "cpu":
        return f"is for a CPU, not for {device_of(model)}"
    return None if precision == "float32" else f"computes in float32, not in {precision}"


def _not_graph(model: TokenModel) -> str | None:
    """Why a model's plans cannot be CUDA graphs."""
    if isinstance(model, RetNet):
        return "is for a gpt, not for a retnet"
    return None if device_of(model).type == "cuda" else f"is for a GPU, not for {device_of(model)}"


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def load_weights(model: TokenModel, state: dict[str, Tensor], source: object) -> None:
    """Put weights into a model.

    Args:
        model: overwritten.
        state: what the model's ``state_dict`` once gave.
        source: where ``state`` comes from, to be named in errors.

    Raises:
        SeqrlError: the weights are another architecture's, or of other sizes.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        arch = next(name for name, kind in ARCHITECTURES.items() if isinstance(model, kind))
        found = _architecture_of(state)
        what = f"a {found}" if found != arch else "other sizes"
        raise SeqrlError(f"{source} holds weights of {what}, not of this {arch}", "train again with --force") from error


def _architecture_of(state: dict[str, Tensor]) -> str:
    """Which architecture weights belong to, by names that only some have."""
    if "normalizer.action_low" in state:
        return policies.architecture_of(state)
    return "retnet" if "blocks.0.norm_retention.weight" in state else "gpt"
