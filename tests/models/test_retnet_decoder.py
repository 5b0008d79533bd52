"""The RetNet decoder keeps the contract, in every window, and carries a memory from step to step of an episode."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqrl_cli.models.decoder import Window
from seqrl_cli.models.retnet import RetNet
from seqrl_cli.models.retnet_decoder import RetNetDecoder
from tests.contracts.decoder import (
    Reference,
    check_equals_reference,
    check_groups_are_independent,
    check_past_values_are_hidden,
)

TRANSITION_DIM = 7
SIZES = dict(bins=9, observation_dim=3, action_dim=2, n_layer=3, n_head=2, width=16, value_width=12, ffn_width=40)
WINDOWS = [Window(3, slides=True), Window(3, slides=False), None]


def make_model(**changes) -> RetNet:
    """A small model whose weights and norms are far from their initial values."""
    generator = torch.Generator().manual_seed(0)
    model = RetNet(**{**SIZES, **changes}, generator=generator)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def naive(model: RetNet, window: Window | None) -> Reference:
    """Encode the whole window again for every token."""

    def logits(tokens, past):
        first = window.overflow(tokens.shape[1] if window.slides else past, TRANSITION_DIM) if window else 0
        with torch.no_grad():
            return model(tokens[:, first:])[:, -1]

    return logits


def random_tokens(*shape: int, seed: int = 3) -> Tensor:
    return torch.randint(0, 10, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mask_values", [True, False])
@pytest.mark.parametrize("window", WINDOWS, ids=["sliding", "growing", "all"])
@pytest.mark.parametrize("past", [1, 3, 7, 10, 17, 21, 24, 50, 130])
def test_equals_full_encoding_at_every_position(mask_values, window, past):
    model = make_model(mask_values=mask_values)
    check_equals_reference(RetNetDecoder(model, window), naive(model, window), past=past, steps=4 * TRANSITION_DIM)


@pytest.mark.parametrize("window", WINDOWS, ids=["sliding", "growing", "all"])
def test_past_values_are_hidden(window):
    check_past_values_are_hidden(RetNetDecoder(make_model(), window), past=10, steps=30)


@pytest.mark.parametrize("window", WINDOWS, ids=["sliding", "growing", "all"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", [{}, {"n_head": 4, "width": 128, "value_width": 128, "ffn_width": 300}])
def test_groups_are_independent(window, threads, sizes):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check_groups_are_independent(RetNetDecoder(make_model(**sizes), window), past=10, steps=15)
    finally:
        torch.set_num_threads(before)
