"""Token models by the name of their architecture, and their decoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqrl_cli.config.architectures import in_words, names_with, with_article
from seqrl_cli.errors import SeqrlError, UsageError, unknown
from seqrl_cli.models.decoding.interface import Decoder, Window
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.implementation import (
    TokenImplementation,
    architecture_of_model,
    architecture_of_weights,
    implementation,
)
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.models.size import build_if_it_fits
from seqrl_cli.native.library import CompilationError, UnsupportedSystemError, cache_warning

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}

TokenModel = GPT | RetNet
"""A model that maps tokens (batch, time) to the logits of the tokens that follow, (batch, time, bins + 1)."""


def build_model(arch: str, **arguments: Any) -> TokenModel:
    """Make a model of the named architecture.

    Args:
        arch: name of a planner in the registry.
        **arguments: arguments of the constructor.

    Raises:
        SeqrlError: the architecture does not exist, an argument is invalid, or the model does not fit in memory.
    """
    return cast(TokenModel, build_if_it_fits(partial(_implementation(arch).make, **arguments)))


def _implementation(arch: str) -> TokenImplementation:
    """How models of an architecture are made and decoded; raises SeqrlError if it is not a planner."""
    if arch not in names_with("planner"):
        raise unknown("architecture", arch, names_with("planner"))
    found = implementation(arch)
    assert isinstance(found, TokenImplementation)
    return found


def build_decoder(
    model: TokenModel,
    window: Window | None,
    precision: str = "float32",
    engine: str = "auto",
    on_warning: Callable[[str], None] | None = None,
) -> Decoder:
    """The decoder of a model.

    Args:
        model: the model, on its device; its weights are copied.
        window: the part of a sequence that is seen; None for all of it, carried through an episode.
        precision: precision of products with weights, a key of ``PRECISIONS``.
        engine: ``native``, C++ compiled for this processor; ``torch``; ``graph``, whose plans can be captured as
            CUDA graphs; or ``auto``, native if possible, else torch.
        on_warning: called if the native engine applies, but cannot be compiled or kept.

    Raises:
        SeqrlError: the model cannot hold the window, or needs one, or the engine is not available.
    """
    architecture = architecture_of_model(model)
    own = _implementation(architecture.name)
    if why := _not_graph(model, architecture.name) if engine == "graph" else _not_native(model, precision):
        if engine in ("native", "graph"):
            raise UsageError(f"plan.engine={engine} {why}", "use plan.engine=auto")
        engine = "torch"
    if window is None and not architecture.recurrent:
        message = f"{architecture} cannot carry its context from step to step: it sees a window"
        raise UsageError(message, f"use plan.context=window, or {in_words(names_with('recurrent'))}")
    if engine in ("auto", "native"):
        try:
            decoder = own.compiled_decoder(model, window)
            if on_warning and (warning := cache_warning()):
                on_warning(warning)
            return decoder
        except CompilationError as error:
            if engine == "native":
                raise
            if on_warning and not isinstance(error, UnsupportedSystemError):
                slower = "plans are made with PyTorch, which takes two to four times as long"
                on_warning(f"{error.message}: {slower} ({error.hint})")
    return own.decoder(model, window, PRECISIONS[precision], engine == "graph")


def _not_native(model: TokenModel, precision: str) -> str | None:
    """Why the native engine cannot decode a model; None if it can."""
    if device_of(model).type != "cpu":
        return f"is for a CPU, not for {device_of(model)}"
    return None if precision == "float32" else f"computes in float32, not in {precision}"


def _not_graph(model: TokenModel, arch: str) -> str | None:
    """Why a model's plans cannot be captured as CUDA graphs; None if they can."""
    able = tuple(name for name in names_with("planner") if _implementation(name).has_graphs)
    if arch not in able:
        return f"is for {in_words(able)}, not for {with_article(arch)}"
    return None if device_of(model).type == "cuda" else f"is for a GPU, not for {device_of(model)}"


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Put weights into a model.

    Args:
        model: the model, which is overwritten.
        state: a state dict of such a model.
        source: name of where ``state`` comes from, for errors.

    Raises:
        SeqrlError: the weights belong to another architecture, or have other sizes.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise foreign_weights(architecture_of_weights(model.state_dict()), state, source) from error


def foreign_weights(arch: str, state: Mapping[str, Tensor], source: object) -> SeqrlError:
    """The error about weights that belong to another architecture, or have other sizes."""
    theirs = architecture_of_weights(state)
    what = with_article(theirs) if theirs != arch else "other sizes"
    return SeqrlError(f"{source} holds weights of {what}, not of this {arch}", "train again with --force")
