"""``seqrl import``: another project's checkpoint as a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.token_model import make_model
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.data.tokens_file import save_tokens
from seqrl_cli.envs.fit import environment_spaces
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.files.hashes import file_sha256
from seqrl_cli.interop.checkpoint import ForeignCheckpoint, check_shapes
from seqrl_cli.interop.convert import convert_config, convert_tokens
from seqrl_cli.interop.detect import read_checkpoint_folder
from seqrl_cli.runs import record as records
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import attached_results, finish_replacement, replacing
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import Checkpoint, newest_checkpoint, write_checkpoint


@dataclass(frozen=True)
class ImportRequest:
    """Options of ``seqrl import``.

    Attributes:
        store: the run directory.
        path: the checkpoint's folder.
        name: name of the run; None = the project's name.
        dataset: the run's dataset instead of the one that the folder names; if the folder has no bin edges, they are
            computed from it.
        epoch: the epoch whose weights to import; None = the newest.
        force: replace a run that exists.
        argv: the command line, for the record.
    """

    store: RunStore
    path: Path
    name: str | None = None
    dataset: str | None = None
    epoch: int | None = None
    force: bool = False
    argv: Sequence[str] = ()


@dataclass(frozen=True)
class ImportReport:
    """Result of ``import``."""

    run: str
    project: str
    weights: str
    dataset: str
    bins: str
    parameters: int
    fresh: bool

    def text(self) -> str:
        """Two lines for a person."""
        return f"{self.project}, {self.parameters:,} parameters, for {self.dataset}, with bins {self.bins}\n{self.run}"


@dataclass(frozen=True)
class ConvertedRun:
    """A checkpoint as a run, before it is written."""

    checkpoint: ForeignCheckpoint
    dataset: DatasetRef
    folder: RunFolder
    tokens: TokenizedDataset
    config: Config
    parameters: int
    origin: dict[str, str]

    def report(self, *, fresh: bool) -> ImportReport:
        """The report of its import."""
        has_bins = self.checkpoint.discretizer is not None
        return ImportReport(
            run=str(self.folder.path),
            project=self.checkpoint.project,
            weights=str(self.checkpoint.weights),
            dataset=self.dataset.id,
            bins="of its own" if has_bins else f"fitted to {self.dataset.id}",
            parameters=self.parameters,
            fresh=fresh,
        )


def run(request: ImportRequest, console: Console) -> ImportReport:
    """Turn another project's checkpoint into a run of its dataset, with its own bin edges.

    Everything is read, converted and checked before anything is written.

    Raises:
        UsageError: the dataset that the user named does not exist.
        SeqrlError: the folder contains no complete checkpoint of a known format, the dataset that its bins need is
            missing, or another run has that name.
    """
    converted = _convert(request, console)
    folder = converted.folder
    with locked(folder.path, console):
        finish_replacement(folder)
        if folder.record.exists() and not request.force:
            if not _is_same(folder, converted):
                message = f"{folder.path} is another run"
                raise SeqrlError(message, "give this one a --name, or replace the other with --force")
            console.note(f"{folder.path} is already imported; --force imports it again")
            return converted.report(fresh=False)
        if removed := attached_results(folder):
            console.note(f"the new run replaces {folder.path}, and its {removed} are removed with it")
        with replacing(folder) as new:
            _write(converted, request, new)
    return converted.report(fresh=True)


def dry_run(request: ImportRequest, console: Console) -> None:
    """Print what ``import`` would do.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    converted = _convert(request, console)
    facts = {**asdict(converted.report(fresh=False)), "already exists": converted.folder.record.exists()}
    del facts["fresh"]
    console.emit({**facts, "config": converted.config.model_dump()})
    console.show_facts(facts)
    console.show(dump_config(converted.config).rstrip())


def _convert(request: ImportRequest, console: Console) -> ConvertedRun:
    """Read a checkpoint and check that its parts fit together.

    Raises:
        SeqrlError: as :func:`run`.
    """
    checkpoint = read_checkpoint_folder(request.path, request.epoch)
    dataset = _dataset(request, checkpoint)
    tokens = convert_tokens(checkpoint, dataset)
    if dataset.id != checkpoint.dataset:
        console.warn(f"{request.path} was trained on {checkpoint.dataset!r:.80}, and is imported for {dataset.id}")
    _warn_of_other_sizes(checkpoint, dataset, console)
    config = convert_config(checkpoint, dataset, request.path)
    with torch.device("meta"):  # shapes without memory: the sizes in a foreign file may be wrong
        expected = make_model(config, tokens).state_dict()
    check_shapes(checkpoint, expected)
    return ConvertedRun(
        checkpoint=checkpoint,
        dataset=dataset,
        folder=dataset.folder.run(check_name("run", checkpoint.project if request.name is None else request.name)),
        tokens=tokens,
        config=config,
        parameters=sum(tensor.numel() for tensor in expected.values()),
        origin={
            "project": checkpoint.project,
            "weights": str(checkpoint.weights.resolve()),
            "sha256": file_sha256(checkpoint.weights),
        },
    )


def _warn_of_other_sizes(checkpoint: ForeignCheckpoint, dataset: DatasetRef, console: Console) -> None:
    """Warn of a model that cannot act in its dataset's environment, as far as that is installed."""
    if dataset.env_id is None or ":" in dataset.env_id:  # a module of the user's is not imported for a warning
        return
    try:
        spaces = environment_spaces(dataset.env_id, dataset.observation_slice)
    except SeqrlError:
        return
    sizes = (checkpoint.observation_dim, checkpoint.action_dim)
    if not Spaces.of_vectors(*sizes).fits(spaces):
        fact = f"{checkpoint.weights.parent} has observations and actions of sizes {sizes}"
        console.warn(f"{fact}, which {dataset.env_id} has not: it cannot plan there; name its dataset with --dataset")


def _dataset(request: ImportRequest, checkpoint: ForeignCheckpoint) -> DatasetRef:
    """The dataset that the user names, else the one that the folder names.

    Raises:
        UsageError: the dataset that the user names does not exist.
        SeqrlError: the dataset that the folder names does not exist.
    """
    if request.dataset is not None:
        return locate(request.store, request.dataset)
    hint = f"name a dataset of the same environment: seqrl import {request.path} --dataset sim/hopper-medium"
    message = f"{request.path} was trained on {checkpoint.dataset[:80]!r}, a dataset that seqrl does not know"
    # A name from a foreign file must not be a path.
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", checkpoint.dataset, re.ASCII):
        raise SeqrlError(message, hint)
    try:
        return locate(request.store, checkpoint.dataset)
    except UsageError as error:
        raise SeqrlError(message, hint) from error


def _is_same(folder: RunFolder, converted: ConvertedRun) -> bool:
    """Whether the existing run was imported from the same weights and uses the same bins."""
    try:
        existing = newest_checkpoint(folder.checkpoints)
    except SeqrlError:
        return False
    origin = {} if existing is None else existing.state.get("imported", {})
    same_weights = origin.get("sha256") == converted.origin["sha256"]
    return same_weights and records.read_record(folder.record).tokens_fingerprint == converted.tokens.fingerprint


def _write(converted: ConvertedRun, request: ImportRequest, folder: RunFolder) -> None:
    """Write the run's files to a folder. The record comes last: without it, a folder is not a run."""
    checkpoint = converted.checkpoint
    save_tokens(folder.own_tokens, converted.tokens)
    write_text_atomic(folder.config, dump_config(converted.config))
    state = {"imported": converted.origin}
    write_checkpoint(folder.checkpoints, Checkpoint(checkpoint.epoch, checkpoint.state, {}, state), keep=1)
    record = records.new_record(
        datasets=converted.dataset.datasets,
        env_id=converted.tokens.env_id,
        arch=converted.config.model.arch,
        name=converted.folder.path.name,
        seed=converted.config.seed,
        status="finished",
        argv=list(request.argv),
        device="cpu",
        threads=torch.get_num_threads(),
        parameters=converted.parameters,
        tokens_fingerprint=converted.tokens.fingerprint,
    )
    records.write_record(folder.record, record)
