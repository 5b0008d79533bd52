"""A model that cannot predict stop: the logit is -inf wherever a stop token could come from."""

from __future__ import annotations

import torch

from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.embedding import PositionHead
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.loss import target_weights, token_loss

BINS = 5


def make_model() -> GPT:
    generator = torch.Generator().manual_seed(0)
    sizes = dict(bins=BINS, observation_dim=2, action_dim=1, block_size=14, n_layer=1, n_head=1, width=8)
    return GPT(**sizes, stop_token=False, generator=generator).eval()


def random_tokens(bins: int = BINS) -> torch.Tensor:
    return torch.randint(bins, (3, 14), generator=torch.Generator().manual_seed(1))


def test_the_head_equals_one_with_a_stop_whose_logit_is_dropped():
    with_stop, without = PositionHead(BINS, 5, 8), PositionHead(BINS, 5, 8, stop_token=False)
    with_stop.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    without.weight.data = with_stop.weight.data[:, :BINS]
    hidden = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(3))
    for first, part in ((0, hidden), (3, hidden), (4, hidden[:, :1])):
        logits = without(part, first)
        torch.testing.assert_close(logits[..., :BINS], with_stop(part, first)[..., :BINS])
        assert bool((logits[..., BINS] == -torch.inf).all())


def test_the_decoder_equals_the_model(gpt_decoder):
    model, tokens = make_model(), random_tokens()
    expected = model(tokens)
    logits, state = gpt_decoder(model, Window(3)).prefill(tokens[:, :6])
    torch.testing.assert_close(logits, expected[:, 5])
    decoder = gpt_decoder(model, Window(3))
    logits, state = decoder.prefill(tokens[:, :6])
    logits, _ = decoder.step(tokens[:, 6], state)
    torch.testing.assert_close(logits, expected[:, 6])
    assert bool((logits[:, BINS] == -torch.inf).all())


def test_stop_targets_cost_nothing_and_leave_the_gradient_finite():
    model, targets = make_model(), random_tokens(BINS + 1)
    weights, everywhere = target_weights(14, 2, 1), torch.ones(3, 14, dtype=torch.bool)
    logits = model(random_tokens())
    loss = token_loss(logits, targets, everywhere, weights)
    loss.backward()
    is_stop = targets == BINS
    assert is_stop.any() and torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)
    masked = token_loss(logits, targets.masked_fill(is_stop, 0), ~is_stop, weights)
    torch.testing.assert_close(loss, masked)
