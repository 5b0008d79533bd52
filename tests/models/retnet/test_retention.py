"""Parallel, chunkwise and recurrent retention are one function: outputs, state and gradients, on awkward sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.retnet.retention import (
    check_mode,
    head_decays,
    pair_angles,
    retain,
    rotary_phases,
    rotate,
    rotate_state,
)
from tests.models.retnet.inputs import HEADS, KEY_DIM, random_inputs

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def naive(query: Tensor, key: Tensor, value: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Every pair of tokens on its own."""
    time = query.shape[2]
    mixed = []
    for n in range(time):
        read = torch.einsum("bhk,bhkv->bhv", query[:, :, n], state) * (decay**n)[:, None]
        for m in range(n + 1):
            weight = (query[:, :, n] * key[:, :, m]).sum(-1) * decay ** (n - m)
            read = read + weight[..., None] * value[:, :, m]
        mixed.append(read)
    after = state * (decay**time)[:, None, None]
    for m in range(time):
        after = after + key[:, :, m, :, None] * value[:, :, m, None] * (decay ** (time - m))[:, None, None]
    return torch.stack(mixed, dim=2), after


def everything(form, inputs: list[Tensor]) -> list[Tensor]:
    """Outputs, state, and gradients of a function of both that weighs all numbers differently."""
    outputs = form(*inputs)
    weights = [torch.arange(1, each.numel() + 1, dtype=each.dtype).view_as(each).sin() for each in outputs]
    total = sum((each * weight).sum() for each, weight in zip(outputs, weights, strict=True))
    return [*outputs, *torch.autograd.grad(total, inputs)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("time", [1, 2, 7, 12, 23])
@pytest.mark.parametrize(
    ("mode", "chunk"), [("parallel", 1), ("recurrent", 1), *(("chunkwise", c) for c in (1, 2, 5, 7, 23, 64))]
)
def test_equals_the_naive_form(dtype, time, mode, chunk):
    decay = head_decays(HEADS, torch.device("cpu"))
    inputs = random_inputs(time, dtype)
    ours = everything(lambda q, k, v, s: retain(mode, q, k, v, decay, s, chunk_size=chunk), inputs)
    theirs = everything(lambda q, k, v, s: naive(q, k, v, decay.to(dtype), s), inputs)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == dtype
        torch.testing.assert_close(our, their, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("mode", ["parallel", "recurrent", "chunkwise"])
@pytest.mark.parametrize("time", [3, 8])
def test_no_state_is_a_zero_one(mode, time):
    decay = head_decays(HEADS, torch.device("cpu"))
    query, key, value, state = random_inputs(time, torch.float64)
    empty = retain(mode, query, key, value, decay, torch.zeros_like(state), chunk_size=4)
    for ours, theirs in zip(retain(mode, query, key, value, decay, chunk_size=4), empty, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("first", [1, 5, 9])
def test_a_rotated_state_continues_where_it_was_left(first):
    """Two calls, the second with places counted from zero again, equal one: only distances matter."""
    decay, angles = head_decays(HEADS, torch.device("cpu")), pair_angles(KEY_DIM, torch.device("cpu"))
    query, key, value, state = random_inputs(11, torch.float64)

    def call(part: slice, state: Tensor) -> tuple[Tensor, Tensor]:
        turned = rotary_phases(angles, torch.arange(len(range(11)[part])))
        rotated = rotate(query[:, :, part], turned), rotate(key[:, :, part], turned)
        mixed, after = retain("parallel", *rotated, value[:, :, part], decay, state, chunk_size=4)
        return mixed, rotate_state(after, rotary_phases(angles, torch.tensor(-turned.shape[0])))

    whole, end = call(slice(None), state)
    start, middle = call(slice(first), state)
    rest, same_end = call(slice(first, None), middle)
    torch.testing.assert_close(torch.cat([start, rest], dim=2), whole, atol=1e-10, rtol=0)
    torch.testing.assert_close(same_end, end, atol=1e-10, rtol=0)


def test_decays_of_the_paper():
    assert head_decays(4, torch.device("cpu")).tolist() == [0.96875, 0.984375, 0.9921875, 0.99609375]


@pytest.mark.parametrize(
    ("mode", "chunk", "message", "hint"),
    [("chunckwise", 64, "unknown mode 'chunckwise'", "chunkwise"), ("chunkwise", 0, "chunk_size is 0", "64")],
)
def test_forms_that_do_not_exist(mode, chunk, message, hint):
    with pytest.raises(SeqrlError, match=message) as caught:
        check_mode(mode, chunk)
    assert hint in caught.value.hint
