"""A decoder's linear layers equal plain ones, and treat a row the same in any batch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from seqrl_cli.models.decoding.invariant_linear import BatchInvariantLinear, fastest_linear
from seqrl_cli.native import library
from seqrl_cli.native.linear import NativeLinear

pytestmark = pytest.mark.slow

SIZES = [(1, 48), (16, 10), (16, 48), (128, 101), (513, 7), (512, 128), (1000, 60), (512, 1024)]


@pytest.fixture(params=[BatchInvariantLinear, NativeLinear])
def linear(request):
    """Each kind of layer; the compiled one where there is a compiler."""
    if request.param is NativeLinear and not library.available():
        pytest.skip("no C++ compiler")
    return request.param


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def make_weights(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
    return weight, torch.randn(outputs, generator=generator)


def images(layer, x: torch.Tensor, other: torch.Tensor) -> list[torch.Tensor]:
    """All that a layer computes of ``x`` (rows, inputs), and with ``other`` (rows, outputs)."""
    alone = [layer(x), layer.gelu(x), layer.silu(x), layer.relu(x)]
    return [*alone, layer.add_residual(other, x), layer.gated(other, x)]


def plain_images(image: torch.Tensor, other: torch.Tensor) -> list[torch.Tensor]:
    alone = [image, functional.gelu(image), functional.silu(image), functional.relu(image)]
    return [*alone, other + image, other * image]


def inputs_of(size: tuple[int, int], rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, size[0], generator=generator), torch.randn(rows, size[1], generator=generator)


@pytest.mark.parametrize("rows", [1, 8, 20, 150])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_plain_layers(linear, size, rows):
    (weight, bias), (x, other) = make_weights(*size), inputs_of(size, rows)
    before, layer = other.clone(), linear(weight, bias)
    expected = plain_images(functional.linear(x, weight, bias), other)
    for ours, plain in zip(images(layer, x, other), expected, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(linear(weight)(x), functional.linear(x, weight), atol=1e-5, rtol=1e-5)
    assert torch.equal(other, before)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_row_is_the_same_in_any_batch(linear, size, threads):
    layer, (x, other) = linear(*make_weights(*size)), inputs_of(size, 300)
    whole = images(layer, x, other)
    for rows in (1, 2, 3, 5, 8, 9, 11, 17, 33, 128):
        part = slice(7, 7 + rows)
        for ours, expected in zip(images(layer, x[part], other[part]), whole, strict=True):
            assert torch.equal(ours, expected[part])


@pytest.mark.skipif(not library.available(), reason="no C++ compiler")
@pytest.mark.parametrize("size", [(512, 1024), (513, 7)], ids=str)
def test_a_row_is_the_same_with_any_number_of_threads(size):
    layer, (x, other) = NativeLinear(*make_weights(*size)), inputs_of(size, 300)
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append([torch.cat(images(layer, x[:rows], other[:rows])) for rows in (1, 14, 300)])
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))


@pytest.mark.skipif(not library.available(), reason="no C++ compiler")
def test_inputs_need_not_lie_together():
    layer, (x, other) = NativeLinear(*make_weights(40, 50)), inputs_of((40, 50), 20)
    apart, turned = torch.cat([x, x], dim=1)[:, :40], x.T.contiguous().T
    for strange in (apart, turned):
        for ours, expected in zip(images(layer, strange, other), images(layer, x, other), strict=True):
            assert torch.equal(ours, expected)
    assert torch.equal(layer.add_residual(other.T.contiguous().T, x), layer.add_residual(other, x))
    assert layer(x[:0]).shape == (0, 50)


@pytest.mark.skipif(not library.available(), reason="no C++ compiler")
def test_activations_of_large_numbers_and_of_none():
    layer = NativeLinear(torch.ones(1, 1))
    x = torch.tensor([-1e30, -90.0, -0.0, 90.0, 1e30, torch.nan])[:, None]
    for ours, plain in zip(images(layer, x, x), plain_images(x, x), strict=True):
        torch.testing.assert_close(ours, plain, equal_nan=True)


def test_the_fastest_kind_is_the_compiled_one_where_it_can_be_had(monkeypatch):
    if library.available():
        assert fastest_linear(torch.device("cpu")) is NativeLinear
    assert fastest_linear(torch.device("cuda")) is BatchInvariantLinear
    monkeypatch.setattr(library, "available", lambda: False)
    assert fastest_linear(torch.device("cpu")) is BatchInvariantLinear
