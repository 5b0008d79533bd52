"""Folders of the Trajectory Transformer and of Trajectory RetNet: two configurations, and weights by epoch."""

from __future__ import annotations

import io
import re
from pathlib import Path

import torch

from seqrl_cli.config.model_sections import TokenModelSection
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import atomic_path
from seqrl_cli.files.safe_pickle.read import read_pickle
from seqrl_cli.files.safe_pickle.vocabulary import Global, PlainObject
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
from seqrl_cli.interop.checkpoint_data import CHECKPOINTS
from seqrl_cli.interop.pickle_writer import Plain, dump_object
from seqrl_cli.interop.torch_files import read_state_dict
from seqrl_cli.interop.trajectory_retnet import convert_retnet_state
from seqrl_cli.interop.trajectory_transformer import RENAMED, convert_gpt_state, restore_gpt_state
from seqrl_cli.models.gpt.model import GPT

MODEL_CONFIG, DATA_CONFIG = "model_config.pkl", "data_config.pkl"

_CONFIG = "trajectory.utils.config.Config"
_GPT = "trajectory.models.transformers.GPT"
_DATASET = "trajectory.datasets.sequence.DiscretizedDataset"
_RETNET = ("torchscale.architecture.config.RetNetConfig", "torchscale.architecture.retnet.RetNetDecoder")


def matches(folder: Path) -> bool:
    """Whether the folder contains any of the project's files."""
    return (folder / MODEL_CONFIG).exists() or (folder / DATA_CONFIG).exists() or bool(saved_epochs(folder))


def saved_epochs(folder: Path) -> list[int]:
    """Epochs of the saved weights, ascending."""
    names = (re.fullmatch(r"state_(\d{1,9})\.pt", path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)


def read_folder(folder: Path, epoch: int | None = None) -> ForeignCheckpoint:
    """Read a checkpoint.

    Args:
        folder: contains ``model_config.pkl``, ``data_config.pkl`` and ``state_*.pt``.
        epoch: the epoch of the weights; None = the newest.

    Raises:
        SeqrlError: a file is missing or damaged, or they do not fit together.
        RefusedFileError: a file contains anything but the data of such a checkpoint.
    """
    kind, model = _read_config(folder / MODEL_CONFIG)
    _, data = _read_config(folder / DATA_CONFIG)
    epoch = _choose_epoch(folder, epoch)
    weights = folder / f"state_{epoch}.pt"
    data.expect("N", model.size("vocab_size"))
    data.expect("step", 1)
    data.expect("discretizer", "QuantileDiscretizer")
    if kind == _GPT:
        return _gpt(weights, epoch, model, data)
    if kind in _RETNET:
        return _retnet(weights, epoch, model, data)
    raise SeqrlError(f"{model.source} describes {kind}, not a model that seqrl knows", "GPT and RetNet are imported")


def _read_config(path: Path) -> tuple[str, Fields]:
    """The class that is configured, and its arguments."""
    config = read_pickle(path, CHECKPOINTS)
    if not isinstance(config, PlainObject):
        raise SeqrlError(f"{path} contains no configuration", "it should be the project's own file of that name")
    kind = config.attributes.get("_class")
    arguments = config.attributes.get("_dict")
    name = kind.name if isinstance(kind, Global) else config.class_name
    return name, Fields(str(path), {**config.attributes, **(arguments if type(arguments) is dict else {})})


def _choose_epoch(folder: Path, wanted: int | None) -> int:
    epochs = saved_epochs(folder)
    if not epochs:
        raise SeqrlError(f"{folder} has no weights, state_*.pt", "copy them into the folder")
    if wanted is not None and wanted not in epochs:
        raise SeqrlError(f"{folder} has no state_{wanted}.pt", f"choose one of {', '.join(map(str, epochs))}")
    return epochs[-1] if wanted is None else wanted


def _penalty(data: Fields) -> float | None:
    return None if data.values.get("penalty") is None else data.number("penalty")


def _gpt(weights: Path, epoch: int, model: Fields, data: Fields) -> ForeignCheckpoint:
    observation_dim, action_dim = dimensions(model)
    transition_dim = observation_dim + action_dim + 2
    length = whole_transitions(model.source, model.size("block_size"), transition_dim)
    state = read_state_dict(weights)
    require_names(state, ("pos_emb",), str(weights), "GPT")
    try:
        converted = convert_gpt_state(state)
        converted["position_embedding"] = converted["position_embedding"][: length * transition_dim - 1]
    except (KeyError, IndexError, RuntimeError) as error:
        raise SeqrlError(f"{weights} does not contain a complete GPT: {error}", "take another checkpoint") from error
    return ForeignCheckpoint(
        project="trajectory-transformer",
        weights=weights,
        epoch=epoch,
        model={
            "arch": "gpt",
            "n_layer": model.size("n_layer", MAX_LAYERS),
            "n_head": model.size("n_head"),
            "width": model.size("n_embd"),
            "sequence_length": length,
            "embedding_dropout": model.number("embd_pdrop"),
            "residual_dropout": model.number("resid_pdrop"),
            "attention_dropout": model.number("attn_pdrop"),
            "mask_values": masks_values(str(weights), state, r"blocks\.\d+\.attn\.mask", transition_dim),
        },
        bins=model.size("vocab_size"),
        observation_dim=observation_dim,
        action_dim=action_dim,
        state={name: tensor.float() for name, tensor in converted.items()},
        dataset=data.text("env"),
        discount=data.number("discount"),
        termination_penalty=_penalty(data),
        names={rename(name, RENAMED): name for name in state},
    )


def _retnet(weights: Path, epoch: int, model: Fields, data: Fields) -> ForeignCheckpoint:
    observation_dim, action_dim = dimensions(model)
    transition_dim = observation_dim + action_dim + 2
    state = read_state_dict(weights)
    require_names(state, ("embed_tokens.weight",), str(weights), "RetNet")
    try:
        converted = convert_retnet_state(state)
    except (KeyError, RuntimeError) as error:
        raise SeqrlError(f"{weights} does not contain a complete RetNet: {error}", "take another checkpoint") from error
    return ForeignCheckpoint(
        project="trajectory-retnet",
        weights=weights,
        epoch=epoch,
        model={
            "arch": "retnet",
            "n_layer": model.size("decoder_layers", MAX_LAYERS),
            "n_head": model.size("decoder_retention_heads"),
            "width": model.size("decoder_embed_dim"),
            "value_width": model.size("decoder_value_embed_dim"),
            "ffn_width": model.size("decoder_ffn_embed_dim"),
            "sequence_length": whole_transitions(model.source, model.size("block_size"), transition_dim),
            # The project's RetNet has no dropout, regardless of its configuration, and sees value tokens.
            "embedding_dropout": 0.0,
            "residual_dropout": 0.0,
            "attention_dropout": 0.0,
            "mask_values": False,
        },
        bins=model.size("vocab_size"),
        observation_dim=observation_dim,
        action_dim=action_dim,
        state={name: tensor.float() for name, tensor in converted.items()},
        dataset=data.text("env"),
        discount=data.number("discount"),
        termination_penalty=_penalty(data),
    )


def write_folder(folder: Path, model: GPT, config: Config, epoch: int) -> Path:
    """Write a model as the Trajectory Transformer saves its own; the weights come last.

    Args:
        folder: the folder, which is made if missing.
        model: the model, with a stop token.
        config: configuration of the model's run.
        epoch: the number in the weights' name.

    Returns:
        The file of the weights.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(restore_gpt_state(model), buffer)
    weights = folder / f"state_{epoch}.pt"
    contents = {
        folder / MODEL_CONFIG: _dump_config(_GPT, _model_arguments(model, config)),
        folder / DATA_CONFIG: _dump_config(_DATASET, _data_arguments(config)),
        weights: buffer.getvalue(),
    }
    for path, content in contents.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return weights


def _dump_config(kind: str, arguments: dict[str, Plain]) -> bytes:
    return dump_object(_CONFIG, {"_class": Global(kind), "_dict": arguments})


def _model_arguments(model: GPT, config: Config) -> dict[str, Plain]:
    section = _section(config)
    return {
        "vocab_size": model.bins,
        "block_size": model.block_size,
        "n_layer": section.n_layer,
        "n_head": section.n_head,
        "n_embd": section.width,
        "observation_dim": model.observation_dim,
        "action_dim": model.action_dim,
        "transition_dim": model.transition_dim,
        "action_weight": config.train.action_weight,
        "reward_weight": config.train.reward_weight,
        "value_weight": config.train.value_weight,
        "embd_pdrop": section.embedding_dropout,
        "resid_pdrop": section.residual_dropout,
        "attn_pdrop": section.attention_dropout,
    }


def _data_arguments(config: Config) -> dict[str, Plain]:
    section = _section(config)
    return {
        "env": config.dataset,
        "N": config.data.bins,
        "penalty": None if config.data.termination_penalty == "auto" else config.data.termination_penalty,
        "sequence_length": section.sequence_length,
        "step": 1,
        "discount": config.data.discount,
        "discretizer": "QuantileDiscretizer",
    }


def _section(config: Config) -> TokenModelSection:
    section = config.model
    assert isinstance(section, TokenModelSection)
    return section
