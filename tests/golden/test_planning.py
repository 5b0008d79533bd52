"""Filters and greedy plans against the Trajectory Transformer's own."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from seqrl_cli.interop.trajectory_transformer import convert_gpt_state
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.planning.beam import beam_plan, draw_noise
from seqrl_cli.planning.filters import filter_cdf, filter_top_k
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout


@pytest.mark.parametrize(("name", "apply"), [("cdf_060", 0.6), ("cdf_020", 0.2), ("top_3", 3)])
def test_filters_keep_and_drop_the_same_tokens(golden_file, name, apply):
    arrays = np.load(golden_file("tt_filters.npz"))
    if name not in arrays:
        pytest.skip(f"no {name}")
    logits, expected = torch.from_numpy(arrays["logits"]), torch.from_numpy(arrays[name])
    ours = filter_cdf(logits, apply) if name.startswith("cdf") else filter_top_k(logits, apply)
    torch.testing.assert_close(torch.softmax(ours, -1), torch.softmax(expected, -1))


@pytest.fixture(scope="module")
def model(golden_file) -> GPT:
    with np.load(golden_file("tt_gpt.npz")) as arrays:
        size = {name[4:]: arrays[name].item() for name in arrays if name.startswith("cfg_")}
        state = {name[6:]: torch.tensor(arrays[name]) for name in arrays if name.startswith("state/")}
    model = GPT(
        bins=size["vocab_size"],
        observation_dim=size["observation_dim"],
        action_dim=size["action_dim"],
        block_size=size["block_size"],
        n_layer=size["n_layer"],
        n_head=size["n_head"],
        width=size["n_embd"],
    )
    model.load_state_dict(convert_gpt_state(state))
    return model.eval()


@pytest.fixture(scope="module")
def values(golden_file) -> ValueReadout:
    thresholds = np.load(golden_file("tt_discretizer.npz"))["thresholds"]
    return ValueReadout((thresholds[:-1] + thresholds[1:]) / 2, "mean", torch.device("cpu"))


def test_greedy_plans_token_for_token(gpt_decoder, golden_file, model, values):
    plans = np.load(golden_file("tt_greedy_plans.npz"))
    keys = [key for key in plans if not key.endswith("_prefix")]
    assert keys
    for key in keys:
        horizon, context = (int(number) for number in re.fullmatch(r"H(\d+)_ctx(\d+)_prefix\d+", key).groups())
        settings = SearchSettings(
            horizon=horizon, beam_width=4, n_expand=2, k_act=1, cdf_act=None, max_context_transitions=context
        )
        settings.check_fits(model.block_size, model.transition_dim)
        decoder = gpt_decoder(model, settings.model_window)
        prefix = torch.from_numpy(plans[f"{key}_prefix"])[None]
        noise = draw_noise([np.random.default_rng(0)], settings, decoder)
        plan = beam_plan(decoder, values, prefix, settings, noise)
        np.testing.assert_array_equal(plan[0].numpy(), plans[key], err_msg=key)


def test_expected_reward_and_value(golden_file, values):
    arrays = np.load(golden_file("tt_discretizer.npz"))
    logits = torch.from_numpy(arrays["probs"]).log()
    np.testing.assert_allclose(values(logits[:, 0], -2), arrays["reward_mean"], rtol=1e-6)
    np.testing.assert_allclose(values(logits[:, 1], -1), arrays["value_mean"], rtol=1e-6)
