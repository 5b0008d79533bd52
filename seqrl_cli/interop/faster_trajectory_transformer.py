"""Folders of the Faster Trajectory Transformer: ``config.yaml``, ``discretizer.pt`` and ``model_last.pt``.

Its GPT has the Trajectory Transformer's architecture without a stop token: the token embedding has no row for it and
the head does not predict it. PyTorch's attention keeps query, key and value in one matrix, in our order.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional

from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.vocabulary import PlainArray, PlainObject
from seqrl_cli.files.yaml_text import read_yaml_mapping
from seqrl_cli.interop.checkpoint import (
    MAX_LAYERS,
    Fields,
    ForeignCheckpoint,
    dimensions,
    masks_values,
    rename,
    require_names,
    whole_transitions,
)
from seqrl_cli.interop.torch_files import read_state_dict, read_torch
from seqrl_cli.models.old_names import current_names

CONFIG, DISCRETIZER, WEIGHTS = "config.yaml", "discretizer.pt", "model_last.pt"

RENAMED = {
    r"^tok_emb\.": "token_embedding.",
    r"\.norm1\.": ".norm_attention.",
    r"\.norm2\.": ".norm_mlp.",
    r"\.attention\.in_proj_": ".qkv.",
    r"\.attention\.out_proj\.": ".projection.",
    r"\.mlp\.0\.": ".mlp_in.",
    r"\.mlp\.2\.": ".mlp_out.",
}
MASK = r"blocks\.\d+\.attn_mask"

# Its planner's settings, in the training configuration, and ours.
PLAN = {
    "eval_beam_steps": "horizon",
    "eval_beam_width": "beam_width",
    "eval_beam_context": "max_context_transitions",
    "eval_sample_expand": "n_expand",
    "eval_k_obs": "k_obs",
    "eval_k_act": "k_act",
    "eval_plan_every": "plan_freq",
    "eval_discount": "discount",
}


def matches(folder: Path) -> bool:
    """Whether the folder contains a file that only this project writes."""
    return any((folder / name).exists() for name in (DISCRETIZER, WEIGHTS))


def read_folder(folder: Path, epoch: int | None = None) -> ForeignCheckpoint:
    """Read a checkpoint.

    Args:
        folder: the folder, which contains ``config.yaml``, ``discretizer.pt`` and ``model_last.pt``.
        epoch: the epoch of the weights, ``model_<epoch>.pt``; None = ``model_last.pt``.

    Raises:
        SeqrlError: a file is missing or damaged, or they do not fit together.
        RefusedFileError: a file contains anything but the data of such a checkpoint.
    """
    config = Fields(str(folder / CONFIG), read_yaml_mapping(folder / CONFIG))
    model, data = config.section("model"), config.section("dataset")
    observation_dim, action_dim = dimensions(model)
    transition_dim = observation_dim + action_dim + 2
    bins = model.size("vocab_size")
    data.expect("num_bins", bins)
    model.expect("use_sep_heads", True)
    discretizer = read_discretizer(folder / DISCRETIZER, bins, transition_dim)
    length = whole_transitions(model.source, model.size("seq_len"), transition_dim)
    weights = folder / (WEIGHTS if epoch is None else f"model_{epoch}.pt")
    state = read_state_dict(weights)
    require_names(state, ("pos_emb",), str(weights), "GPT")
    try:
        converted = convert_state(state, length * transition_dim - 1)
    except (IndexError, RuntimeError) as error:
        raise SeqrlError(f"{weights} does not contain a complete GPT: {error}", "take another checkpoint") from error
    visible = {name: ~tensor.bool() for name, tensor in state.items() if re.fullmatch(MASK, name)}
    return ForeignCheckpoint(
        project="faster-trajectory-transformer",
        weights=weights,
        epoch=epoch or 0,
        model={
            **_model_settings(model),
            "sequence_length": length,
            "mask_values": masks_values(str(weights), visible, MASK, transition_dim),
        },
        bins=bins,
        observation_dim=observation_dim,
        action_dim=action_dim,
        state={name: tensor.float() for name, tensor in converted.items()},
        dataset=data.text("env_name"),
        discount=data.number("discount"),
        termination_penalty=None,
        discretizer=discretizer,
        plan=_plan_settings(config),
    )


def convert_state(state: dict[str, Tensor], block_size: int) -> dict[str, Tensor]:
    """Rename the parameters of Howuhh/faster-trajectory-transformer's GPT.

    Args:
        state: the original's state dict; its attention masks are dropped, because ours follow from the sizes.
        block_size: positions to keep; the original has one more than a window of whole transitions has inputs.

    Returns:
        A state dict for :class:`~seqrl_cli.models.gpt.model.GPT` with ``stop_token=False``. The embedding of the stop
        token, which such a model never reads, is zero.
    """
    converted = {}
    for name, tensor in state.items():
        if name == "pos_emb":
            converted["position_embedding"] = tensor.flatten(0, 1)[:block_size]
        elif name == "tok_emb.weight":
            converted["token_embedding.weight"] = functional.pad(tensor, (0, 0, 0, 1))
        elif not re.fullmatch(MASK, name):
            converted[rename(name, RENAMED)] = tensor
    return current_names(converted)


def read_discretizer(path: Path, bins: int, dims: int) -> Discretizer:
    """The bins of a ``discretizer.pt``.

    They are decoded like those of our ``uniform`` strategy, because this project decodes all of its bins that way, both
    uniform and quantile bins.

    Raises:
        SeqrlError: the file is missing or damaged, or has other sizes than the model.
    """
    value = read_torch(path).value
    edges = value.attributes.get("bin_edges") if isinstance(value, PlainObject) else None
    if not isinstance(edges, PlainArray):
        raise SeqrlError(f"{path} contains no bin edges", "it should be the project's own file of that name")
    try:
        array = edges.to_numpy().astype(np.float64)
    except ValueError as error:
        raise SeqrlError(f"{path} is damaged: its bin edges are {error}", "copy the file again") from error
    if array.shape != (dims, bins + 1):
        message = f"{path} has bin edges of shape {array.shape}, but the model needs {(dims, bins + 1)}"
        raise SeqrlError(message, "the folder may mix files of different runs")
    if not np.isfinite(array).all() or (np.diff(array, axis=1) < 0).any():
        raise SeqrlError(f"{path} has bin edges that are not finite and ascending", "take another checkpoint")
    return Discretizer(np.ascontiguousarray(array.T), "uniform")


def _model_settings(model: Fields) -> dict[str, object]:
    """Our configuration of the model."""
    return {
        "arch": "gpt",
        "n_layer": model.size("num_layers", MAX_LAYERS),
        "n_head": model.size("num_heads"),
        "width": model.size("embedding_dim"),
        "embedding_dropout": model.number("embedding_dropout", 0.1),
        "residual_dropout": model.number("residual_dropout", 0.1),
        "attention_dropout": model.number("attention_dropout", 0.1),
        "stop_token": False,
    }


def _plan_settings(config: Fields) -> dict[str, object]:
    """Our configuration of the planner; the project does not filter tokens by probability."""
    trainer = config.values.get("trainer")
    given = trainer if isinstance(trainer, dict) else {}
    return {"cdf_act": None, **{ours: given[theirs] for theirs, ours in PLAN.items() if theirs in given}}
