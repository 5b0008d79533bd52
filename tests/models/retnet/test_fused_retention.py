"""A kernel is used when it does what flash-linear-attention documents, and never when it does anything else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqrl_cli.models.retnet.fused_retention import agrees, fused_kernel, retain_fused
from seqrl_cli.models.retnet.retention import head_decays, retain_parallel
from tests.models.retnet.inputs import random_inputs

CPU = torch.device("cpu")


def documented(q: Tensor, k: Tensor, v: Tensor, scale: float, initial_state: Tensor | None, output_final_state: bool):
    """What the kernel's documentation says: (batch, time, heads, dim), h = g h + k v, o = q h."""
    decay = head_decays(q.shape[2], q.device).to(q.dtype)[:, None, None]
    state = torch.zeros(len(q), q.shape[2], q.shape[3], v.shape[3]) if initial_state is None else initial_state
    mixed = []
    for query, key, value in zip(q.unbind(1), k.unbind(1), v.unbind(1), strict=True):
        state = decay * state + key[..., None] * value[..., None, :]
        mixed.append(scale * (query[..., None, :] @ state).squeeze(2))
    return torch.stack(mixed, dim=1), state


def broken(*args, **kwargs):
    raise RuntimeError("no such GPU")


@pytest.mark.parametrize("has_state", [True, False])
def test_the_adapter_gives_what_ours_gives(has_state):
    decay = head_decays(3, CPU)
    query, key, value, state = random_inputs(9, torch.float32)
    inputs = (query, key, value, decay, state if has_state else None)
    for ours, theirs in zip(retain_parallel(*inputs), retain_fused(documented, *inputs), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_only_a_kernel_that_agrees_is_used():
    assert agrees(documented, retain_parallel, CPU)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert agrees(documented, retain_parallel, CPU)
    assert not agrees(lambda *a, **k: [1.1 * each for each in documented(*a, **k)], retain_parallel, CPU)
    assert not agrees(lambda *a, **k: documented(*a, **{**k, "initial_state": None}), retain_parallel, CPU)
    assert not agrees(broken, retain_parallel, CPU)


def test_a_cpu_goes_without():
    assert fused_kernel(CPU, retain_parallel) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_kernel_on_a_gpu():
    pytest.importorskip("fla.ops.retention")
    assert fused_kernel(torch.device("cuda"), retain_parallel) is not None
