"""The registry's entry for the GPT: its constructor, its decoders, and how its weights are recognized."""

from __future__ import annotations

import torch

from seqrl_cli.models.decoding.interface import Decoder, Window
from seqrl_cli.models.gpt.decoder import GPTDecoder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
from seqrl_cli.models.implementation import TokenImplementation


def _decoder(model: GPT, window: Window | None, precision: torch.dtype, graphs: bool) -> Decoder:
    assert window is not None
    return GPTDecoder(model, window, precision, shares=not graphs)


def _compiled_decoder(model: GPT, window: Window | None) -> Decoder:
    assert window is not None
    return NativeGPTDecoder(model, window)


IMPLEMENTATION = TokenImplementation(
    model=GPT,
    make=GPT,
    owns=lambda state: "position_embedding" in state,
    decoder=_decoder,
    compiled_decoder=_compiled_decoder,
    has_graphs=True,
)
