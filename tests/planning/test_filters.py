"""Filters keep what they should, and sampling follows the distribution that is left."""

from __future__ import annotations

import math

import pytest
import torch

from seqrl_cli.planning.filters import filter_cdf, filter_top_k, sample


def kept(logits: torch.Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


def test_cdf_drops_the_least_likely_mass():
    probabilities = torch.tensor([[0.05, 0.4, 0.1, 0.15, 0.3]])
    assert kept(filter_cdf(probabilities.log(), 0.2)) == [[1, 3, 4]]
    assert kept(filter_cdf(probabilities.log(), 0.65)) == [[1]]


def test_cdf_keeps_the_likeliest_token_of_a_peak():
    assert kept(filter_cdf(torch.tensor([[0.0, 50.0, 1.0]]), 0.999)) == [[1]]


@pytest.mark.parametrize("cdf", [0.0, 0.2, 0.6, 1.0])
def test_cdf_keeps_equals(cdf):
    assert kept(filter_cdf(torch.zeros(2, 6), cdf)) == [list(range(6))] * 2


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k(k):
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    expected = [sorted(row.argsort(descending=True)[:k].tolist()) for row in logits]
    assert kept(filter_top_k(logits, k)) == expected


def test_samples_are_distributed_as_the_logits():
    probabilities = torch.tensor([0.1, 0.0, 0.6, 0.3])
    uniforms = (torch.arange(1000) + 0.5) / 1000
    tokens = sample(probabilities.log().expand(1000, 4), uniforms)
    assert torch.bincount(tokens, minlength=4).tolist() == [100, 0, 600, 300]


def test_extreme_draws_give_tokens_that_are_left():
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]]).expand(2, 5)
    assert sample(logits, torch.tensor([0.0, 1 - 2**-24])).tolist() == [1, 3]


def test_greedy_takes_the_first_of_equals():
    assert sample(torch.tensor([[0.0, 2.0, 2.0]]), torch.tensor([0.9]), k=1).tolist() == [1]
