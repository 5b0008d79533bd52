"""Other projects' checkpoints to runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.token_model import make_model
from seqrl_cli.config.model_sections import TokenModelSection
from seqrl_cli.config.presets import dump_config, resolve_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.download.fetch import file_sha256
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.targets import transition_columns
from seqrl_cli.data.tokens import TokenizedDataset, save_tokens
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.interop.checkpoint import ForeignCheckpoint, check_shapes
from seqrl_cli.interop.detect import read_checkpoint_folder
from seqrl_cli.runs import record as records
from seqrl_cli.runs.atomic import write_text_atomic
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import finish_replacement, goes_with, replacing
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import Checkpoint, newest_checkpoint, write_checkpoint


@dataclass(frozen=True)
class ImportRequest:
    """What ``seqrl import`` was asked for.

    Attributes:
        path: the checkpoint's folder.
        name: name of the run; None = the project's name.
        dataset: what the run is for, instead of the dataset that the folder names; bins are placed by it where the
            folder has none.
        epoch: which of several weights; None = the newest.
        argv: the command line, for the record.
    """

    path: Path
    name: str | None = None
    dataset: str | None = None
    epoch: int | None = None
    argv: Sequence[str] = ()


@dataclass(frozen=True)
class ImportReport:
    """What ``import`` says."""

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

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


@dataclass(frozen=True)
class Converted:
    """Everything of a run that is to be written."""

    checkpoint: ForeignCheckpoint
    located: DatasetRef
    run: RunFolder
    tokens: TokenizedDataset
    config: Config
    parameters: int
    origin: dict[str, str]

    def report(self, *, fresh: bool) -> ImportReport:
        """What to say about it."""
        own = self.checkpoint.discretizer is not None
        return ImportReport(
            run=str(self.run.path),
            project=self.checkpoint.project,
            weights=str(self.checkpoint.weights),
            dataset=self.located.id,
            bins="of its own" if own else f"placed by {self.located.id}",
            parameters=self.parameters,
            fresh=fresh,
        )


def import_checkpoint(
    store: RunStore, request: ImportRequest, console: Console, *, force: bool = False
) -> ImportReport:
    """Turn another project's checkpoint into a run of its dataset, with bin edges of its own.

    Nothing is written before everything has been read, converted and checked.

    Raises:
        UsageError: the dataset that the user named does not exist.
        SeqrlError: the folder holds no whole checkpoint that is known, its dataset is needed and not here, or another
            run has that name.
    """
    converted = convert(store, request, console)
    run = converted.run
    with locked(run.path):
        finish_replacement(run)
        if run.record.exists() and not force:
            if not _is_same(run, converted):
                raise SeqrlError(f"{run.path} is another run", "give this one a --name, or replace that with --force")
            console.note(f"{run.path} is already imported; --force does it again")
            return converted.report(fresh=False)
        if removed := goes_with(run):
            console.note(f"the new run replaces {run.path}; with the old one go its {removed}")
        with replacing(run) as new:
            _write(converted, request, new)
    return converted.report(fresh=True)


def show_import(store: RunStore, request: ImportRequest, console: Console) -> None:
    """What ``import`` would do, for --dry-run."""
    converted = convert(store, request, console)
    facts = {**converted.report(fresh=False).as_dict(), "there already": converted.run.record.exists()}
    del facts["fresh"]
    console.emit({**facts, "config": converted.config.model_dump()})
    console.show_facts(facts)
    console.show(dump_config(converted.config).rstrip())


def convert(store: RunStore, request: ImportRequest, console: Console) -> Converted:
    """Read a checkpoint and check that its parts fit together.

    Raises:
        SeqrlError: as :func:`import_checkpoint`.
    """
    checkpoint = read_checkpoint_folder(request.path, request.epoch)
    located = _dataset(store, request, checkpoint)
    tokens = _tokens(checkpoint, located)
    if located.id != checkpoint.dataset:
        console.warn(f"{request.path} was trained on {checkpoint.dataset!r:.80}, and is imported for {located.id}")
    config = _config(checkpoint, located, request.path)
    with torch.device("meta"):  # shapes without memory, for sizes that may be lies
        expected = make_model(config, tokens).state_dict()
    check_shapes(checkpoint, expected)
    return Converted(
        checkpoint=checkpoint,
        located=located,
        run=located.folder.run(request.name or checkpoint.project),
        tokens=tokens,
        config=config,
        parameters=sum(tensor.numel() for tensor in expected.values()),
        origin={
            "project": checkpoint.project,
            "weights": str(checkpoint.weights.resolve()),
            "sha256": file_sha256(checkpoint.weights),
        },
    )


def _dataset(store: RunStore, request: ImportRequest, checkpoint: ForeignCheckpoint) -> DatasetRef:
    """The dataset that the user names, else the one that the folder names."""
    if request.dataset is not None:
        return locate(store, request.dataset)
    hint = f"name one of the same environment: seqrl import {request.path} --dataset sim/hopper-medium"
    message = f"{request.path} was trained on {checkpoint.dataset[:80]!r}, which is no dataset that seqrl knows"
    # A name from a foreign file must not lead anywhere: no paths, no dots.
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", checkpoint.dataset, re.ASCII):
        raise SeqrlError(message, hint)
    try:
        return locate(store, checkpoint.dataset)
    except UsageError as error:
        raise SeqrlError(message, hint) from error


def _tokens(checkpoint: ForeignCheckpoint, located: DatasetRef) -> TokenizedDataset:
    """The model's bins, as a dataset without transitions."""
    discretizer = checkpoint.discretizer or _fit(checkpoint, located)
    sizes = (checkpoint.observation_dim, checkpoint.action_dim, checkpoint.bins)
    digest = hashlib.sha256(f"{sizes} {discretizer.strategy}".encode() + discretizer.edges.tobytes())
    return TokenizedDataset(
        tokens=np.empty((0, checkpoint.transition_dim), token_dtype(checkpoint.bins)),
        offsets=np.zeros(1, np.int64),
        returns=np.empty(0),
        discretizer=discretizer,
        observation_dim=checkpoint.observation_dim,
        action_dim=checkpoint.action_dim,
        discount=checkpoint.discount,
        termination_penalty=checkpoint.termination_penalty,
        dataset_id=located.id,
        env_id=located.env_id,
        observation_slice=located.observation_slice,
        fingerprint=digest.hexdigest(),
    )


def _fit(checkpoint: ForeignCheckpoint, located: DatasetRef) -> Discretizer:
    """Place bins by the dataset, as the Trajectory Transformer does whenever it loads a model."""
    folder = checkpoint.weights.parent
    if not located.folder.dataset.exists():
        message = f"{folder} holds no bin edges, and {located.id}, which they are placed by, is not here"
        raise SeqrlError(message, f"seqrl download {located.id}; or name a dataset that is here with --dataset")
    episodes = _without_last_row(located.load_episodes())
    sizes = (episodes.observation_dim, episodes.action_dim)
    if sizes != (checkpoint.observation_dim, checkpoint.action_dim):
        wanted = (checkpoint.observation_dim, checkpoint.action_dim)
        message = f"{folder} has observations and actions of sizes {wanted}, but {located.id} of sizes {sizes}"
        raise SeqrlError(message, "name a dataset of the model's environment with --dataset")
    columns = transition_columns(episodes, checkpoint.discount, checkpoint.termination_penalty)
    return Discretizer.fit_columns(columns, checkpoint.bins, "quantile")


def _without_last_row(episodes: Episodes) -> Episodes:
    """What the Trajectory Transformer sees of a dataset: it loses the last row of the file."""
    rows = slice(0, episodes.transitions - 1)
    return Episodes.from_flags(
        episodes.observations[rows],
        episodes.actions[rows],
        episodes.rewards[rows],
        episodes.terminals[rows],
        episodes.timeouts[rows],
    )


def _config(checkpoint: ForeignCheckpoint, located: DatasetRef, path: Path) -> Config:
    """The dataset's preset with all that the folder says over it."""
    values = {f"model.{key}": value for key, value in checkpoint.model.items()}
    values |= {f"plan.{key}": value for key, value in checkpoint.plan.items()}
    values |= {
        "data.bins": checkpoint.bins,
        "data.discretizer": "quantile" if checkpoint.discretizer is None else checkpoint.discretizer.strategy,
        "data.discount": checkpoint.discount,
        "data.termination_penalty": checkpoint.termination_penalty,
    }
    try:
        config = resolve_config(located.id, size="paper", overrides=values)
        assert isinstance(config.model, TokenModelSection)
        context = min(config.plan.max_context_transitions, config.model.sequence_length)
        return resolve_config(located.id, size="paper", overrides={**values, "plan.max_context_transitions": context})
    except UsageError as error:
        raise SeqrlError(
            f"{path} has settings that seqrl does not take: {error.message}", "check the folder"
        ) from error


def _is_same(run: RunFolder, converted: Converted) -> bool:
    """Whether the run that is there was imported from the same weights and speaks the same bins."""
    try:
        there = newest_checkpoint(run.checkpoints)
    except SeqrlError:
        return False
    origin = {} if there is None else there.state.get("imported", {})
    same_weights = origin.get("sha256") == converted.origin["sha256"]
    return same_weights and records.read_record(run.record).tokens_fingerprint == converted.tokens.fingerprint


def _write(converted: Converted, request: ImportRequest, run: RunFolder) -> None:
    """Write the run's files to a folder; the record comes last, and without it there is no run."""
    checkpoint = converted.checkpoint
    save_tokens(run.own_tokens, converted.tokens)
    write_text_atomic(run.config, dump_config(converted.config))
    state = {"imported": converted.origin}
    write_checkpoint(run.checkpoints, Checkpoint(checkpoint.step, checkpoint.state, {}, state), keep=1)
    record = records.new_record(
        dataset=converted.located.id,
        env_id=converted.tokens.env_id,
        arch=converted.config.model.arch,
        name=converted.run.path.name,
        seed=converted.config.seed,
        status="finished",
        argv=list(request.argv),
        device="cpu",
        threads=torch.get_num_threads(),
        parameters=converted.parameters,
        tokens_fingerprint=converted.tokens.fingerprint,
    )
    records.write_record(run.record, record)
