"""The registry's entry for the RetNet: its constructor, its decoders, and how its weights are recognized."""

from __future__ import annotations

import torch

from seqrl_cli.models.decoding.interface import Decoder, Window
from seqrl_cli.models.implementation import TokenImplementation
from seqrl_cli.models.retnet.decoder import RetNetDecoder
from seqrl_cli.models.retnet.model import RetNet


def _decoder(model: RetNet, window: Window | None, precision: torch.dtype, graphs: bool) -> Decoder:
    assert not graphs
    return RetNetDecoder(model, window, precision)


def _compiled_decoder(model: RetNet, window: Window | None) -> Decoder:
    return RetNetDecoder(model, window, compiled=True)


IMPLEMENTATION = TokenImplementation(
    model=RetNet,
    make=RetNet,
    owns=lambda state: "blocks.0.norm_retention.weight" in state,
    decoder=_decoder,
    compiled_decoder=_compiled_decoder,
    has_graphs=False,
)
