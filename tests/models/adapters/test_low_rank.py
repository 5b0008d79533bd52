"""LoRA of a pool equals a loop over samples, whichever way its products are computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqrl_cli.models.adapters.low_rank import LowRank
from seqrl_cli.models.adapters.selection import Selection, selection

POOL, INPUTS, OUTPUTS, RANK = 7, 6, 10, 2
SPAN = (2, 9)
CHOICES = torch.tensor([5, -1, 0, 2, 5, 2])


def made(on_outputs: bool) -> LowRank:
    inputs = SPAN[1] - SPAN[0] if on_outputs else INPUTS
    span, outputs = ((0, inputs), inputs) if on_outputs else (SPAN, OUTPUTS)
    layer = LowRank(inputs, span, outputs, RANK, 0.5, 0.0, POOL, on_outputs)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return layer


def one_by_one(layer: LowRank, x: Tensor, y: Tensor, choices: Tensor) -> Tensor:
    """The same, sample by sample, with the definition of LoRA."""
    rows = []
    for own_x, own_y, member in zip(x, y, choices.tolist(), strict=True):
        if member >= 0:
            down, up = layer.down[member], layer.up[member]
            added = layer.scale * (own_y if layer.on_outputs else own_x) @ down.T @ up.T
            own_y = own_y + torch.nn.functional.pad(added, layer.padding)
        rows.append(own_y)
    return torch.stack(rows)


@pytest.mark.parametrize("on_outputs", [False, True])
@pytest.mark.parametrize("tokens", [1, 3, 40])  # shared products for few, copies for many
def test_a_pool_equals_a_loop_over_samples(tokens, on_outputs):
    layer = made(on_outputs)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(CHOICES), tokens, layer.down[0].shape[1], generator=generator, requires_grad=True)
    y = torch.randn(len(CHOICES), tokens, layer.up[0].shape[0] + sum(layer.padding), generator=generator)
    y = x if on_outputs else y
    chosen = selection(CHOICES, POOL)
    assert isinstance(chosen, Selection)
    found = []
    for result in (layer.after(x, y, chosen), one_by_one(layer, x, y, CHOICES)):
        layer.zero_grad()
        x.grad = None
        torch.autograd.backward(result.square().sum())
        gradients = [None if one.grad is None else one.grad.clone() for one in (*layer.parameters(), x)]
        found.append((result.detach(), gradients))
    (ours, our_gradients), (plain, plain_gradients) = found
    assert torch.allclose(ours, plain, atol=1e-5)
    for one, other in zip(our_gradients, plain_gradients, strict=True):
        assert (one is None) == (other is None)  # members that no sample uses get none
        assert one is None or torch.allclose(one, other, rtol=1e-4, atol=1e-4)
