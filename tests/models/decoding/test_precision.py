"""Decoders that multiply in bf16: near float32, and still each episode as if alone."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.models.build import build_decoder, build_model
from seqrl_cli.models.decoding.interface import Window
from tests.contracts.decoder import check_groups_are_independent, logits_along


def make_model(arch: str):
    sizes = dict(bins=9, observation_dim=3, action_dim=2, n_layer=2, n_head=2, width=32)
    if arch == "gpt":
        sizes["block_size"] = 69
    return build_model(arch, **sizes, generator=torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize("arch", ["gpt", "retnet"])
def test_bf16_is_near_float32_and_no_more(arch):
    model = make_model(arch)
    tokens = torch.randint(0, 9, (4, 30), generator=torch.Generator().manual_seed(1))
    exact, rounded = (
        torch.stack(logits_along(build_decoder(model, Window(3), precision), tokens, past=10))
        for precision in ("float32", "bf16")
    )
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("arch", ["gpt", "retnet"])
def test_groups_are_independent_in_bf16(arch):
    check_groups_are_independent(build_decoder(make_model(arch), Window(3), "bf16"), past=17, steps=15)
