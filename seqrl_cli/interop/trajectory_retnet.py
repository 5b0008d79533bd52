"""Weights of the original Trajectory RetNet under our names."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from seqrl_cli.interop.checkpoint import rename

RENAMED = {
    r"^embed_tokens\.": "token_embedding.",
    r"^output_projection\.": "head.",
    r"^layer_norm\.": "norm.",
    r"^layers\.": "blocks.",
    r"\.retention_layer_norm\.": ".norm_retention.",
    r"\.retention\.out_proj\.": ".projection.",
    r"\.final_layer_norm\.": ".norm_mlp.",
    r"\.ffn\.fc2\.": ".mlp_out.",
}
JOINED = {"qkvg": [f"retention.{part}_proj" for part in "qkvg"], "mlp_in": ["ffn.fc1", "ffn.gate"]}
DERIVED = ("retnet_rel_pos.",)


def convert_retnet_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of eduruiz00/trajectory-retnet's RetNet and join those that we keep in one matrix.

    Args:
        state: the original's state dict; its decays and angles are dropped, because ours follow from the sizes.

    Returns:
        A state dict for ``seqrl_cli.models.retnet.model.RetNet``, with ``mask_values=False``.
    """
    converted = {}
    joined = {part: name for name, parts in JOINED.items() for part in parts}
    for name, tensor in state.items():
        found = re.fullmatch(r"layers\.(\d+)\.(.+)\.weight", name)
        if found and found[2] in joined:
            layer, target = found[1], joined[found[2]]
            parts = [state[f"layers.{layer}.{part}.weight"] for part in JOINED[target]]
            converted[f"blocks.{layer}.{target}.weight"] = torch.cat(parts)
        elif not name.startswith(DERIVED):
            converted[rename(name, RENAMED)] = tensor
    return converted
