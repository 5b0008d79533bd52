"""Packed linear layers equal plain ones, and treat a row the same in any batch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from seqrl_cli.models.decoder_linear import PackedLinear


@pytest.fixture(params=[(16, 48), (128, 101), (512, 128)], ids=str)
def layer(request) -> PackedLinear:
    inputs, outputs = request.param
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator)
    return PackedLinear(weight, torch.randn(outputs, generator=generator))


@pytest.mark.parametrize("packed", [True, False])
def test_equals_plain_layers(layer, packed):
    if not packed:
        layer._packed = None
    x = torch.randn(20, layer.weight.shape[1], generator=torch.Generator().manual_seed(1))
    expected = functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer.gelu(x), functional.gelu(expected), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer.relu(x), functional.relu(expected), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer.add_to(expected, x), 2 * expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer.times(expected, x), expected**2, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("packed", [True, False])
def test_a_row_is_the_same_in_any_batch(layer, packed):
    if not packed:
        layer._packed = None
    x = torch.randn(300, layer.weight.shape[1], generator=torch.Generator().manual_seed(2))
    whole = layer(x)
    for rows in (1, 2, 3, 5, 8, 33, 128):
        assert torch.equal(layer(x[7 : 7 + rows]), whole[7 : 7 + rows])
