"""The memory that a plan needs is known before it is allocated."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.gpt.decoder import GPTDecoder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
from seqrl_cli.models.retnet.decoder import RetNetDecoder
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.planning.beam import beam_plan, best_plans, draw_noise
from seqrl_cli.planning.memory_budget import episodes_that_fit, plan_bytes
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout


def make_decoder(settings: SearchSettings, decoder: type = GPTDecoder) -> GPTDecoder | NativeGPTDecoder:
    model = GPT(bins=9, observation_dim=3, action_dim=2, block_size=83, n_layer=2, n_head=2, width=16).eval()
    return decoder(model, settings.model_window)


def cached_bytes(decoder: GPTDecoder | NativeGPTDecoder) -> int:
    pools = decoder.pools if isinstance(decoder, NativeGPTDecoder) else [decoder.cache]
    return sum(pool.memory.nbytes for pool in pools)


@pytest.mark.parametrize("window", ["sliding", "growing"])
@pytest.mark.parametrize("episodes", [1, 3])
def test_a_plan_takes_no_more_than_stated(gpt_decoder, window, episodes):
    settings = SearchSettings(horizon=6, beam_width=8, max_context_transitions=4, window=window)
    decoder = make_decoder(settings, gpt_decoder)
    readout = ValueReadout(np.zeros((9, 7)), "mean", decoder.device)
    noise = draw_noise([np.random.default_rng(episode) for episode in range(episodes)], settings, decoder)
    beam_plan(decoder, readout, torch.zeros(episodes, 3 * 7 + 3, dtype=torch.int64), settings, noise)
    stated = episodes * plan_bytes(decoder, settings)
    assert cached_bytes(decoder) <= stated
    if window == "growing":
        assert cached_bytes(decoder) >= stated / 4


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that tensors take at once while ``work`` runs."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    changes = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns())))


@pytest.mark.parametrize("window", ["sliding", "growing"])
def test_a_retnets_plan_takes_no_more_than_stated(window):
    model = RetNet(bins=20, observation_dim=6, action_dim=2, n_layer=2, n_head=2, width=64).eval()
    settings = SearchSettings(horizon=3, beam_width=64, max_context_transitions=4, window=window)
    decoder = RetNetDecoder(model, settings.model_window)
    readout = ValueReadout(np.zeros((20, 10)), "mean", decoder.device)
    noise = draw_noise([np.random.default_rng(0)], settings, decoder)
    tokens = torch.zeros(1, 3 * 10 + 6, dtype=torch.int64)
    taken = peak_bytes(lambda: best_plans(decoder, readout, tokens, settings, noise))
    stated = plan_bytes(decoder, settings)
    assert stated / 4 <= taken <= stated


def test_episodes_that_fit():
    settings = SearchSettings(horizon=6, beam_width=8)
    decoder = make_decoder(settings)
    each = plan_bytes(decoder, settings)
    assert episodes_that_fit(decoder, settings, 25, None) == 25
    assert episodes_that_fit(decoder, settings, 25, 3 * each) == 3
    assert episodes_that_fit(decoder, settings, 2, 3 * each) == 2
    with pytest.raises(SeqrlError, match="one plan needs"):
        episodes_that_fit(decoder, settings, 2, each - 1)
