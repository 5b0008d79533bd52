"""The planner equals its naive form, token for token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.planning.beam import beam_plan, draw_noise
from seqrl_cli.planning.settings import PlanSettings
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
    settings = PlanSettings(**{"horizon": 5, "beam_width": 4, "max_context_transitions": 3, **CASES[case]})
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
    settings = PlanSettings(horizon=4, beam_width=16, max_context_transitions=3, cdf_act=cdf)
    decoder = gpt_decoder(model, settings.model_window)
    noise = draw_noise([np.random.default_rng(0)], settings, decoder)
    readout = ValueReadout(np.zeros((BINS, TRANSITION_DIM)), "mean", decoder.device)
    context = torch.zeros(1, model.observation_dim, dtype=torch.int64)
    free, held = (beam_plan(decoder, readout, context, settings, noise, choices)[..., 3:5] for choices in (None, 2))
    assert free.max() >= 2 and held.max() < 2
