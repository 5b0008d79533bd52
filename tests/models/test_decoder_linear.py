"""A decoder's linear layers equal plain ones, and treat a row the same in any batch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from seqrl_cli.models.decoder_linear import PackedLinear

SIZES = [(16, 10), (16, 48), (128, 101), (512, 128), (1000, 60)]


def make_weights(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
    return weight, torch.randn(outputs, generator=generator)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_plain_layers(size):
    weight, bias = make_weights(*size)
    layer = PackedLinear(weight, bias)
    generator = torch.Generator().manual_seed(1)
    for rows in (1, 20):
        x, other = torch.randn(rows, size[0], generator=generator), torch.randn(rows, size[1], generator=generator)
        before, expected = other.clone(), functional.linear(x, weight, bias)
        for ours, plain in (
            (layer(x), expected),
            (layer.gelu(x), functional.gelu(expected)),
            (layer.silu(x), functional.silu(expected)),
            (layer.relu(x), functional.relu(expected)),
            (layer.add_to(other, x), other + expected),
            (layer.times(other, x), other * expected),
            (PackedLinear(weight)(x), functional.linear(x, weight)),
        ):
            torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
        assert torch.equal(other, before)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_row_is_the_same_in_any_batch(size, threads):
    layer = PackedLinear(*make_weights(*size))
    generator = torch.Generator().manual_seed(2)
    x, other = torch.randn(300, size[0], generator=generator), torch.randn(300, size[1], generator=generator)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = [layer(x), layer.gelu(x), layer.silu(x), layer.add_to(other, x)]
        for rows in (1, 2, 3, 5, 8, 9, 11, 17, 33, 128):
            part = slice(7, 7 + rows)
            parts = [layer(x[part]), layer.gelu(x[part]), layer.silu(x[part]), layer.add_to(other[part], x[part])]
            for ours, expected in zip(parts, whole, strict=True):
                assert torch.equal(ours, expected[part])
    finally:
        torch.set_num_threads(before)
