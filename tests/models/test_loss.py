from __future__ import annotations

import pytest
import torch

from seqrl_cli.models.loss import target_weights, token_loss


@pytest.mark.parametrize("time", [1, 5, 7, 8, 13, 31])
def test_weights_belong_to_the_targets(time):
    weights = target_weights(time, 4, 2, action_weight=5, reward_weight=2, value_weight=3)
    transition = [1, 1, 1, 1, 5, 5, 2, 3]
    assert weights.tolist() == [transition[(t + 1) % 8] for t in range(time)]


def test_equals_a_plain_sum():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 9, 6, generator=generator)
    targets = torch.randint(0, 6, (3, 9), generator=generator)
    mask = torch.rand(3, 9, generator=generator) < 0.7
    weights = target_weights(9, 2, 1)
    total = sum(
        -weights[t] * logits[b, t].log_softmax(0)[targets[b, t]] for b in range(3) for t in range(9) if mask[b, t]
    )
    torch.testing.assert_close(token_loss(logits, targets, mask, weights), total / 27)


def test_is_taken_in_float32():
    loss = token_loss(torch.zeros(1, 2, 4, dtype=torch.bfloat16), torch.zeros(1, 2, dtype=torch.int64), *masks())
    assert loss.dtype == torch.float32


def masks() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(1, 2, dtype=torch.bool), torch.ones(2)
