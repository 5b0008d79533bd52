"""Weights of the original Trajectory Transformer, renamed to ours."""

from __future__ import annotations

import re

import torch
from torch import Tensor

RENAMED = {
    r"^tok_emb\.": "token_embedding.",
    r"^ln_f\.": "norm.",
    r"\.ln1\.": ".norm_attention.",
    r"\.ln2\.": ".norm_mlp.",
    r"\.attn\.proj\.": ".projection.",
    r"\.mlp\.0\.": ".mlp_in.",
    r"\.mlp\.2\.": ".mlp_out.",
}


def convert_gpt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of jannerm/trajectory-transformer's GPT and join query, key and value into one matrix.

    Args:
        state: the original's state dict; its attention masks are dropped, for ours follow from the sizes.

    Returns:
        A state dict for ``seqrl_cli.models.gpt.GPT``.
    """
    converted = {}
    for name, tensor in state.items():
        joined = re.fullmatch(r"(blocks\.\d+)\.attn\.query\.(weight|bias)", name)
        if joined:
            block, kind = joined.groups()
            parts = [state[f"{block}.attn.{part}.{kind}"] for part in ("query", "key", "value")]
            converted[f"{block}.qkv.{kind}"] = torch.cat(parts)
        elif name == "pos_emb":
            converted["position_embedding"] = tensor[0]
        elif not re.search(r"\.attn\.(key|value|mask)\b", name):
            converted[rename(name)] = tensor
    return converted


def rename(name: str) -> str:
    """Our name of one of the original's parameters."""
    for pattern, replacement in RENAMED.items():
        name = re.sub(pattern, replacement, name)
    return name
