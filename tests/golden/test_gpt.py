"""The GPT equals the original Trajectory Transformer on its own weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqrl_cli.interop.trajectory_transformer import convert_gpt_state
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.loss import target_weights, token_loss


@pytest.fixture(scope="module")
def original(golden_file) -> dict[str, np.ndarray]:
    with np.load(golden_file("tt_gpt.npz")) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model(original) -> GPT:
    size = {name[4:]: value.item() for name, value in original.items() if name.startswith("cfg_")}
    model = GPT(
        bins=size["vocab_size"],
        observation_dim=size["observation_dim"],
        action_dim=size["action_dim"],
        block_size=size["block_size"],
        n_layer=size["n_layer"],
        n_head=size["n_head"],
        width=size["n_embd"],
    )
    state = {name[6:]: torch.tensor(array) for name, array in original.items() if name.startswith("state/")}
    model.load_state_dict(convert_gpt_state(state))
    return model.eval()


@torch.no_grad()
def test_logits(model, original):
    logits = model(torch.tensor(original["X"]))
    torch.testing.assert_close(logits, torch.tensor(original["logits"]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_logits_of_a_shorter_input(model, original):
    expected = torch.tensor(original["logits_short"])
    logits = model(torch.tensor(original["X"][:, : expected.shape[1]]))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_loss_with_the_originals_mask(model, original):
    tokens, targets, mask = (torch.tensor(original[name]) for name in ("X", "Y", "mask"))
    weights = target_weights(
        tokens.shape[1],
        model.observation_dim,
        model.action_dim,
        action_weight=original["cfg_action_weight"].item(),
        reward_weight=original["cfg_reward_weight"].item(),
        value_weight=original["cfg_value_weight"].item(),
    )
    loss = token_loss(model(tokens), targets, mask, weights)
    assert loss.item() == pytest.approx(original["loss"].item(), abs=1e-6)
