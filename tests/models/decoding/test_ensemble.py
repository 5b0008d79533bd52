"""An ensemble is a decoder like any other, whose probabilities are the mean of its members'."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.models.build import build_decoder
from seqrl_cli.models.decoding.ensemble import EnsembleDecoder
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.native.library import available
from tests.contracts.decoder import (
    Reference,
    check_equals_reference,
    check_greedy,
    check_groups_are_independent,
    check_past_values_are_hidden,
)
from tests.models.gpt.naive import TRANSITION_DIM, make_model, naive

WINDOW = Window(3)


@pytest.fixture(scope="module")
def models() -> tuple[GPT, GPT]:
    """Two models of the same tokens, with different weights."""
    torch.manual_seed(0)
    first, second = make_model(), make_model()
    tokens = torch.zeros(1, 5, dtype=torch.int64)
    assert not torch.allclose(first(tokens), second(tokens), atol=0.1)
    return first, second


@pytest.fixture(params=["torch", "native"])
def ensemble(request, models) -> EnsembleDecoder:
    if request.param == "native" and not available():
        pytest.skip("no C++ compiler")
    return EnsembleDecoder([build_decoder(model, WINDOW, "float32", request.param) for model in models])


def mean_probability(models: tuple[GPT, GPT]) -> Reference:
    """The logarithm of the mean probability, from whole windows."""
    references = [naive(model, WINDOW) for model in models]
    return lambda tokens, past: torch.stack([one(tokens, past).softmax(-1) for one in references]).mean(0).log()


@pytest.mark.parametrize("past", [1, 17])
def test_it_predicts_the_mean_probability(ensemble, models, past):
    check_equals_reference(ensemble, mean_probability(models), past=past, steps=3 * TRANSITION_DIM)


def test_past_values_are_hidden(ensemble):
    check_past_values_are_hidden(ensemble, past=10, steps=20)


@pytest.mark.slow
def test_groups_are_independent(ensemble):
    check_groups_are_independent(ensemble, past=17, steps=10)


@pytest.mark.slow
def test_greedy_takes_the_likeliest_token_each_time(ensemble):
    check_greedy(ensemble)


def test_equal_members_predict_what_one_does(ensemble):
    (one, *_) = ensemble.members
    tokens = torch.randint(0, one.bins, (2, 10), generator=torch.Generator().manual_seed(1))
    joined, _ = EnsembleDecoder([one, one]).prefill(tokens)
    alone, _ = one.prefill(tokens)
    torch.testing.assert_close(joined.softmax(-1), alone.softmax(-1), atol=1e-6, rtol=0)


def test_memory_is_that_of_all_members(ensemble):
    assert ensemble.cache_bytes(4, 2, 3) == sum(one.cache_bytes(4, 2, 3) for one in ensemble.members)
