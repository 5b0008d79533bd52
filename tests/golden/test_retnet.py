"""The RetNet equals the original Trajectory RetNet on its own weights, with value tokens visible as there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqrl_cli.interop.trajectory_retnet import convert_retnet_state
from seqrl_cli.models.loss import target_weights, token_loss
from seqrl_cli.models.retnet.model import RetNet


@pytest.fixture(scope="module")
def original(golden_file) -> dict[str, np.ndarray]:
    with np.load(golden_file("retnet.npz")) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["float32", "float64"])
def model(original, request) -> RetNet:
    size = {name[4:]: value.item() for name, value in original.items() if name.startswith("cfg_")}
    model = RetNet(
        bins=size["vocab_size"],
        observation_dim=size["observation_dim"],
        action_dim=size["action_dim"],
        n_layer=size["decoder_layers"],
        n_head=size["decoder_retention_heads"],
        width=size["decoder_embed_dim"],
        value_width=size["decoder_value_embed_dim"],
        ffn_width=size["decoder_ffn_embed_dim"],
        mask_values=False,
        chunk_size=size["recurrent_chunk_size"],
    ).to(request.param)
    state = {name[6:]: torch.tensor(array) for name, array in original.items() if name.startswith("state/")}
    model.load_state_dict(convert_retnet_state(state))
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("mode", ["parallel", "recurrent", "chunkwise"])
def test_logits(model, original, mode):
    model.mode = mode
    expected = original["logits_recurrent" if mode == "recurrent" else "logits_parallel"]
    logits = model(torch.tensor(original["X"])).double()
    torch.testing.assert_close(logits, torch.tensor(expected), atol=1e-4, rtol=0)


@torch.no_grad()
def test_loss(model, original):
    model.mode = "parallel"
    tokens, targets, mask = (torch.tensor(original[name]) for name in ("X", "Y", "mask"))
    names = ("action_weight", "reward_weight", "value_weight")
    shares = {name: original[f"cfg_{name}"].item() for name in names}
    weights = target_weights(tokens.shape[1], model.observation_dim, model.action_dim, **shares)
    loss = token_loss(model(tokens), targets, mask, weights)
    assert loss.item() == pytest.approx(original["loss"].item(), abs=1e-5)
