"""A small GPT, and its logits from the whole window for every token."""

from __future__ import annotations

import torch

from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.model import GPT
from tests.contracts.decoder import Reference

TRANSITION_DIM = 7


def make_model(mask_values: bool = True, **changes) -> GPT:
    """A small model whose weights, norms and positions are all far from their initial values."""
    generator = torch.Generator().manual_seed(0)
    model = GPT(
        bins=9,
        observation_dim=3,
        action_dim=2,
        block_size=10 * TRANSITION_DIM - 1,
        n_layer=3,
        n_head=2,
        width=16,
        mask_values=mask_values,
        **changes,
    )
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def naive(model: GPT, window: Window) -> Reference:
    """Encode the whole window again for every token."""

    def logits(tokens, past):
        length = tokens.shape[1] if window.slides else past
        with torch.no_grad():
            return model(tokens[:, window.overflow(length, TRANSITION_DIM) :])[:, -1]

    return logits
