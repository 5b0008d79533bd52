"""The planner equals its naive form, token for token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.planning.beam import TimeLimit, UniformNoise, beam_plan, draw_noise
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout
from tests.planning.naive import naive_plan

TRANSITION_DIM, BINS = 7, 9


@pytest.fixture(scope="module")
def model() -> GPT:
    generator = torch.Generator().manual_seed(0)
    model = GPT(
        bins=BINS, observation_dim=3, action_dim=2, block_size=8 * TRANSITION_DIM - 1, n_layer=2, n_head=2, width=16
    )
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


CASES = {
    "defaults": {},
    "growing": {"window": "growing"},
    "all_sampled": {"k_obs": None, "k_act": 4, "cdf_obs": 0.3, "cdf_act": 0.5},
    "greedy": {"k_act": 1},
    "percentile": {"percentile": 0.7, "discount": 0.9},
    "one_beam": {"beam_width": 1, "n_expand": 1},
    "one_step": {"horizon": 1, "max_context_transitions": 1},
    "shortest_window": {"max_context_transitions": 2},
}


@pytest.mark.parametrize(
    "case", [name if name in ("defaults", "greedy") else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
@pytest.mark.parametrize(
    "transitions", [pytest.param(0, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)]
)
def test_equals_naive_planning(gpt_decoder, model, case, transitions):
    settings = SearchSettings(**{"horizon": 5, "beam_width": 4, "max_context_transitions": 3, **CASES[case]})
    settings.check_fits(model.block_size, model.transition_dim)
    rng = np.random.default_rng(transitions)
    midpoints = np.sort(rng.normal(size=(BINS, TRANSITION_DIM)), axis=0)
    contexts = rng.integers(0, BINS, size=(2, transitions * TRANSITION_DIM + model.observation_dim))
    decoder = gpt_decoder(model, settings.model_window)
    noise = draw_noise([np.random.default_rng(episode) for episode in range(2)], settings, decoder)
    readout = ValueReadout(midpoints, settings.percentile, decoder.device)
    plans = beam_plan(decoder, readout, torch.from_numpy(contexts), settings, noise)
    for context, plan, actions, observations in zip(contexts, plans, noise.actions, noise.observations, strict=True):
        expected = naive_plan(
            model, midpoints, context.tolist(), settings, actions.double().numpy(), observations.double().numpy()
        )
        np.testing.assert_array_equal(plan.numpy(), expected)


@pytest.mark.parametrize("cdf", [None, 0.5])
def test_only_existing_choices_are_sampled(gpt_decoder, model, cdf):
    settings = SearchSettings(horizon=4, beam_width=16, max_context_transitions=3, cdf_act=cdf)
    decoder = gpt_decoder(model, settings.model_window)
    noise = draw_noise([np.random.default_rng(0)], settings, decoder)
    readout = ValueReadout(np.zeros((BINS, TRANSITION_DIM)), "mean", decoder.device)
    context = torch.zeros(1, model.observation_dim, dtype=torch.int64)
    free, held = (beam_plan(decoder, readout, context, settings, noise, choices)[..., 3:5] for choices in (None, 2))
    assert free.max() >= 2 and held.max() < 2


@pytest.mark.parametrize("plan_freq", [1, 3])
def test_a_search_out_of_time_is_one_of_a_shorter_horizon(gpt_decoder, model, plan_freq):
    settings = SearchSettings(horizon=5, beam_width=4, max_context_transitions=3, plan_freq=plan_freq)
    decoder = gpt_decoder(model, settings.model_window)
    noise = draw_noise([np.random.default_rng(0)], settings, decoder)
    readout = ValueReadout(np.sort(np.random.default_rng(1).normal(size=(BINS, TRANSITION_DIM)), 0), "mean", "cpu")
    context = torch.zeros(1, model.observation_dim, dtype=torch.int64)
    late = beam_plan(decoder, readout, context, settings, noise, limit=TimeLimit(1e-9, decoder.device))
    in_time = beam_plan(decoder, readout, context, settings, noise, limit=TimeLimit(1e9, decoder.device))
    shorter = SearchSettings(**{**settings.model_dump(), "horizon": plan_freq})
    less = UniformNoise(noise.actions[:, :plan_freq], noise.observations[:, : plan_freq - 1])
    assert torch.equal(late, beam_plan(decoder, readout, context, shorter, less))
    assert torch.equal(in_time, beam_plan(decoder, readout, context, settings, noise))


def test_a_time_limit_expects_the_speed_so_far(monkeypatch):
    now = iter([10.0, 10.2, 10.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    limit = TimeLimit(0.6, torch.device("cpu"))
    assert limit.allows(7, 4)  # 0.2 s for four tokens, so 0.55 s for eleven
    assert not limit.allows(7, 11)  # 0.5 s for eleven, so 0.82 s for eighteen
