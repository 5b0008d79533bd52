"""A run as a folder that model hubs keep: weights and bins as safetensors, everything else as one JSON object.

The folder holds what is needed to play, and no data: ``model.safetensors``, ``config.json`` and, of a token model,
``bins.safetensors``. Nothing in it is executed, and only these files are read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from seqrl_cli import __version__
from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import is_temporary, make_folder, write_bytes_atomic, write_json_atomic
from seqrl_cli.files.json_fields import JsonFieldError, read_object
from seqrl_cli.files.regular import read_bytes
from seqrl_cli.runs.layout import check_name, stays_below
from seqrl_cli.runs.record import TaskRecord, refuse_newer_schema

SCHEMA_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE, BINS_FILE, CARD_FILE = "config.json", "model.safetensors", "bins.safetensors", "README.md"
RUN_CONFIG_FILE = "config.yaml"
FILES = (CONFIG_FILE, WEIGHTS_FILE, BINS_FILE)
"""All that an import reads."""

MAX_WEIGHTS_BYTES, MAX_BINS_BYTES = 64 * 2**30, 2**30
_FORMAT = "seqrl"
_HINT = "copy or export the folder again"
_UNSAFE = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubTokens(_Part):
    """How a token model's tokens are made: see :class:`~seqrl_cli.data.tokens.TokenizedDataset`."""

    strategy: Literal["quantile", "uniform"]
    observation_dim: int = Field(ge=1)
    action_dim: int = Field(ge=1)
    discount: float
    termination_penalty: float | None
    dataset_id: str
    observation_slice: int | None
    episodes_sha256: str | None
    terminal_rewards: str | None
    choices: int | None = Field(ge=1)


class HubRun(_Part):
    """What ``config.json`` states of a run.

    Attributes:
        step: updates of the checkpoint.
        reference_min, reference_max: returns that score 0 and 100; None where the environment's are meant, or none.
        sha256: hash of each other file.
        config: the run's configuration.
        parent: name of the run that it was fine-tuned from online.
    """

    format: Literal["seqrl"]
    schema_version: int
    seqrl_version: str
    name: str
    arch: str
    datasets: tuple[str, ...] = Field(min_length=1)
    suite: str | None
    env_id: str | None
    seed: int
    step: int = Field(ge=0)
    parameters: int
    return_range: tuple[float, float] | None
    tokens_fingerprint: str
    reference_min: float | None
    reference_max: float | None
    tasks: tuple[TaskRecord, ...]
    tokens: HubTokens | None
    sha256: dict[str, str]
    config: dict[str, Any]
    parent: str | None = None


@dataclass(frozen=True)
class HubModel:
    """A run to share: its description, its weights, and of a token model its bin edges (bins + 1, dims) float64."""

    run: HubRun
    weights: dict[str, Tensor]
    edges: np.ndarray | None = None

    def tokens(self) -> TokenizedDataset | None:
        """The tokens that the model reads, without any transitions; None unless it reads tokens.

        Raises:
            SeqrlError: the bins do not fit the sizes.
        """
        stated = self.run.tokens
        if stated is None or self.edges is None:
            return None
        if self.edges.shape[1] != stated.observation_dim + stated.action_dim + 2:
            raise SeqrlError(f"the bins have {self.edges.shape[1]} dimensions, which do not fit the model", _HINT)
        kept = stated.model_dump(exclude={"strategy"})
        return TokenizedDataset(
            tokens=np.empty((0, self.edges.shape[1]), token_dtype(len(self.edges) - 1)),
            offsets=np.zeros(1, np.int64),
            returns=np.empty(0),
            discretizer=Discretizer(self.edges, stated.strategy),
            env_id=self.run.env_id,
            fingerprint=self.run.tokens_fingerprint,
            **kept,
        )


def is_hub_folder(folder: Path) -> bool:
    """Whether a folder is a run that :func:`write_hub_folder` wrote."""
    try:
        return read_object(folder / CONFIG_FILE).get("format") == _FORMAT
    except JsonFieldError:
        return False


def is_unfinished_hub_folder(folder: Path) -> bool:
    """Whether a folder is empty, or has nothing but what an export that was cut leaves."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not is_temporary(path.name)}
    own = {CARD_FILE, RUN_CONFIG_FILE, WEIGHTS_FILE, BINS_FILE, ".cache"}
    return names <= own and (not names or RUN_CONFIG_FILE in names)


def tokens_facts(tokens: TokenizedDataset) -> HubTokens:
    """What ``config.json`` states of tokens."""
    kept = {name: getattr(tokens, name) for name in HubTokens.model_fields if name != "strategy"}
    return HubTokens(strategy=tokens.discretizer.strategy, **kept)


def write_hub_folder(folder: Path, facts: dict[str, Any], weights: dict[str, Tensor], edges: np.ndarray | None) -> None:
    """Write weights and bins, and then the description with their hashes.

    Args:
        folder: the folder to write, which is made if missing.
        facts: the fields of :class:`HubRun` that the content does not tell.
        weights: a model's state dict.
        edges: bin edges of a token model.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    contents = {WEIGHTS_FILE: save(dense, {"format": "pt"})}
    if edges is not None:
        contents[BINS_FILE] = save({"edges": torch.from_numpy(np.ascontiguousarray(edges, np.float64))})
    make_folder(folder)
    (folder / BINS_FILE).unlink(missing_ok=True)
    for name, data in contents.items():
        write_bytes_atomic(folder / name, data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    known = {"format": _FORMAT, "schema_version": SCHEMA_VERSION, "seqrl_version": __version__, "sha256": hashes}
    write_json_atomic(folder / CONFIG_FILE, HubRun(**known, **facts).model_dump(mode="json"))


def read_hub_folder(folder: Path) -> HubModel:
    """Read a run to import; nothing is executed, and no other file is looked at.

    Raises:
        SeqrlError: a file is missing, damaged, too large or no regular file, or the description is not one of ours.
    """
    run = _read_description(folder)
    weights = _read_tensors(folder, WEIGHTS_FILE, run, MAX_WEIGHTS_BYTES)
    if run.tokens is None:
        return HubModel(run, weights)
    edges = _read_tensors(folder, BINS_FILE, run, MAX_BINS_BYTES).get("edges")
    if edges is None or edges.dtype != torch.float64 or edges.ndim != 2 or len(edges) < 2:
        raise SeqrlError(f"{folder / BINS_FILE} contains no bin edges", _HINT)
    found = edges.numpy()
    if not np.isfinite(found).all() or (found[1:] < found[:-1]).any():
        raise SeqrlError(f"{folder / BINS_FILE} contains edges that are not finite and ascending", _HINT)
    return HubModel(run, weights, found)


def _read_description(folder: Path) -> HubRun:
    path = folder / CONFIG_FILE
    try:
        values = read_object(path)
    except JsonFieldError as error:
        raise SeqrlError(f"{path} describes no run: {error}", _HINT) from error
    if values.get("format") != _FORMAT:
        raise SeqrlError(f"{path} describes no run of seqrl", "`seqrl export RUN --format hub` writes such folders")
    refuse_newer_schema(path, values, SCHEMA_VERSION)
    try:
        run = HubRun.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise SeqrlError(f"{path} describes no run: {place}: {first['msg']}", _HINT) from error
    for name in (run.name, run.parent or run.name):
        check_name("run", name)
    if wrong := [name for name in (*run.datasets, run.suite or "none") if not stays_below(name)]:
        raise SeqrlError(f"{path} names the dataset {wrong[0][:80]!r}, which is not a folder's name", _HINT)
    return run


def _read_tensors(folder: Path, name: str, run: HubRun, limit: int) -> dict[str, Tensor]:
    path = folder / name
    if not path.exists():
        others = sorted(found.name for pattern in _UNSAFE for found in folder.glob(pattern))
        besides = f"; {others[0]} could only be read by running code" if others else ""
        raise SeqrlError(f"{folder} has no {name}{besides}", "seqrl reads weights as safetensors alone")
    try:
        data = read_bytes(path, limit)
        if hashlib.sha256(data).hexdigest() != run.sha256.get(name):
            raise SeqrlError(f"{path} does not have the hash that {CONFIG_FILE} states", _HINT)
        return load(data)
    except (OSError, SafetensorError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SeqrlError(f"{path} cannot be read: {reason}", _HINT) from error
