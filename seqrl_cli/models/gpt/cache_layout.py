"""What the decoders of a GPT ask of its tokens: how many are seen, which are attended to, how they are embedded."""

from __future__ import annotations

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.model import GPT


def check_window(model: GPT, window: Window) -> None:
    """Stop at a window that a model cannot hold.

    Raises:
        SeqrlError: it is too long.
    """
    if window.limit(model.transition_dim) > model.block_size:
        raise SeqrlError(
            f"{window.transitions} transitions of context do not fit the model's block of {model.block_size} tokens",
            f"use at most {(model.block_size + 1) // model.transition_dim}",
        )


def kept_dimensions(model: GPT) -> range:
    """Dimensions of a transition whose tokens are ever attended to: all, or all but the value."""
    hides_values = not bool(model.visible[:, model.transition_dim - 1 :: model.transition_dim].any())
    return range(model.transition_dim - hides_values)


def embedding_by_dimension(model: GPT) -> Tensor:
    """The token table as (transition_dim, bins + 1, width), the stop token's row repeated for each dimension."""
    table = model.token_embedding.weight.detach().float()
    stop = table[-1].expand(model.transition_dim, 1, -1)
    return torch.cat([table[:-1].view(model.transition_dim, model.bins, -1), stop], dim=1)
