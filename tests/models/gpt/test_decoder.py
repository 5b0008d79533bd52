"""Both decoders of a GPT keep the contract, in every window and with and without hidden value tokens."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoding.interface import Window
from tests.contracts.decoder import (
    check_equals_reference,
    check_greedy,
    check_groups_are_independent,
    check_past_values_are_hidden,
)
from tests.models.gpt.naive import TRANSITION_DIM, make_model, naive


@pytest.mark.parametrize("mask_values", [True, False])
@pytest.mark.parametrize("slides", [True, False])
@pytest.mark.parametrize(
    "past", [1, 17, 50, *(pytest.param(past, marks=pytest.mark.slow) for past in (3, 7, 10, 21, 24))]
)
def test_equals_full_encoding_at_every_position(gpt_decoder, mask_values, slides, past):
    model, window = make_model(mask_values), Window(3, slides)
    check_equals_reference(gpt_decoder(model, window), naive(model, window), past=past, steps=4 * TRANSITION_DIM)


@pytest.mark.parametrize("stop_token", [True, False])
def test_smooth_heads_equal_full_encoding(gpt_decoder, stop_token):
    model, window = make_model(head_frequencies=3, stop_token=stop_token), Window(3)
    check_equals_reference(gpt_decoder(model, window), naive(model, window), past=17, steps=TRANSITION_DIM)


@pytest.mark.parametrize("slides", [True, False])
def test_past_values_are_hidden(gpt_decoder, slides):
    check_past_values_are_hidden(gpt_decoder(make_model(), Window(3, slides)), past=10, steps=30)


@pytest.mark.slow
@pytest.mark.parametrize("slides", [True, False])
def test_greedy_takes_the_likeliest_token_each_time(gpt_decoder, slides):
    check_greedy(gpt_decoder(make_model(), Window(3, slides)))


@pytest.mark.slow
@pytest.mark.parametrize(("slides", "threads", "steps"), [(True, 1, 15), (False, 1, 15), (True, 2, 5)])
def test_groups_are_independent(gpt_decoder, slides, threads, steps):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check_groups_are_independent(gpt_decoder(make_model(), Window(3, slides)), past=17, steps=steps)
    finally:
        torch.set_num_threads(before)


def test_training_after_it_was_made_does_not_reach_a_decoder(gpt_decoder):
    model = make_model()
    decoder = gpt_decoder(model, Window(3))
    tokens = torch.zeros(1, 10, dtype=torch.int64)
    before, _ = decoder.prefill(tokens)
    for parameter in model.parameters():
        parameter.data.zero_()
    after, _ = decoder.prefill(tokens)
    assert torch.equal(before, after)


def test_context_that_does_not_fit(gpt_decoder):
    with pytest.raises(SeqrlError, match="11 transitions"):
        gpt_decoder(make_model(), Window(11))


def test_a_state_of_an_earlier_prefill_is_refused(gpt_decoder):
    decoder, tokens = gpt_decoder(make_model(), Window(3)), torch.zeros(1, 10, dtype=torch.int64)
    _, earlier = decoder.prefill(tokens)
    _, later = decoder.prefill(tokens)
    decoder.step(tokens[:, 0], later)
    with pytest.raises(AssertionError, match="later prefill"):
        decoder.step(tokens[:, 0], earlier)
