"""Weights of the original Trajectory Transformer: renamed to ours and back."""

from __future__ import annotations

import re
from collections import OrderedDict

from torch import Tensor

from seqrl_cli.interop.checkpoint import rename
from seqrl_cli.models.gpt.model import GPT

RENAMED = {
    r"^tok_emb\.": "token_embedding.",
    r"^ln_f\.": "norm.",
    r"\.ln1\.": ".norm_attention.",
    r"\.ln2\.": ".norm_mlp.",
    r"\.attn\.(query|key|value)\.": r".\1.",
    r"\.attn\.proj\.": ".projection.",
    r"\.mlp\.0\.": ".mlp_in.",
    r"\.mlp\.2\.": ".mlp_out.",
}
KINDS = ("weight", "bias")


def convert_gpt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of jannerm/trajectory-transformer's GPT.

    Args:
        state: the original's state dict; its attention masks are dropped, because ours follow from the sizes.

    Returns:
        A state dict for ``seqrl_cli.models.gpt.model.GPT``.
    """
    converted = {}
    for name, tensor in state.items():
        if name == "pos_emb":
            converted["position_embedding"] = tensor[0]
        elif not re.search(r"\.attn\.mask\b", name):
            converted[rename(name, RENAMED)] = tensor
    return converted


def restore_gpt_state(model: GPT) -> OrderedDict[str, Tensor]:
    """The state dict that the original's GPT loads: its names, its order, its masks.

    Args:
        model: the model, with a stop token, because the original has one.
    """
    assert len(model.head.weight[0]) == model.bins + 1, "the original predicts a stop token"
    state = model.state_dict()
    restored = OrderedDict(
        {"pos_emb": state["position_embedding"][None], "tok_emb.weight": state["token_embedding.weight"]}
    )
    for block in range(len(model.blocks)):
        restored.update(_restore_block(state, f"blocks.{block}", model.visible))
    restored |= {f"ln_f.{kind}": state[f"norm.{kind}"] for kind in ("weight", "bias")}
    restored["head.weight"] = model.head.maps()
    return OrderedDict((name, tensor.detach().cpu().clone()) for name, tensor in restored.items())


def _restore_block(state: dict[str, Tensor], block: str, visible: Tensor) -> dict[str, Tensor]:
    restored = {f"{block}.ln1.{kind}": state[f"{block}.norm_attention.{kind}"] for kind in KINDS}
    restored |= {f"{block}.ln2.{kind}": state[f"{block}.norm_mlp.{kind}"] for kind in KINDS}
    restored[f"{block}.attn.mask"] = visible.float()[None, None]
    for part in ("key", "query", "value"):
        restored |= {f"{block}.attn.{part}.{kind}": state[f"{block}.{part}.{kind}"] for kind in KINDS}
    for theirs, ours in {"attn.proj": "projection", "mlp.0": "mlp_in", "mlp.2": "mlp_out"}.items():
        restored |= {f"{block}.{theirs}.{kind}": state[f"{block}.{ours}.{kind}"] for kind in KINDS}
    return restored
