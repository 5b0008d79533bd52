"""Whether a run that exists is the one asked for, the same but longer, or another."""

from __future__ import annotations

from seqrl_cli.artifacts.run_conflict import OTHER_NAME_HINT, changed_keys, conflict_of_settings
from seqrl_cli.artifacts.train_job import TrainingData
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import counted
from seqrl_cli.errors import RunConflictError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record


def check_resumable(run: RunFolder, requested: Config, data: TrainingData) -> tuple[RunRecord, bool]:
    """The record of the run that exists, and whether it is to become longer than it was to be.

    How often it logs or saves may differ, since neither changes a number.

    A policy's learning rate does not depend on when training ends, nor does a token model's at the papers' size: there
    a longer run is the shorter one continued, bit for bit.

    Raises:
        RunConflictError: it is not the run that is asked for.
        SeqrlError: its record or its configuration cannot be read.
    """
    record = read_record(run.record)
    if record.tokens_fingerprint != data.fingerprint:
        what = ARCHITECTURES[requested.model.arch].kind.reads
        message = f"{run.path} was trained on other {what} than {requested.dataset} has"
        raise RunConflictError(message, "--force trains it again")
    if not run.config.exists():
        return record, False
    existing = load_config(run.config)
    changed = changed_keys(existing, requested, without=["plan"])
    if changed == ["train.updates"] and existing.train.updates and requested.train.updates:
        _check_updates(run, existing, existing.train.updates, requested.train.updates)
    elif changed and not (changed == ["train.n_epochs_ref"] and _has_more_epochs(existing, requested)):
        raise conflict_of_settings(run, existing, requested, changed)
    return record, bool(changed)


def _check_updates(run: RunFolder, existing: Config, had: int, requested: int) -> None:
    """Stop at another number of updates than a run had, unless it may be continued to it.

    Raises:
        RunConflictError: it has that many already, or its learning rate was laid out for another number.
    """
    if ARCHITECTURES[existing.model.arch].kind.paper_schedule:
        raise RunConflictError(
            f"{run.path} is a run of {counted(had, 'update')}, over which its learning rate falls to a tenth: "
            f"with {requested:,} it would have been another run from the start",
            f"add --name {run.path.name}-{requested} for a run beside it, or --force to redo it",
        )
    if requested < had:
        message = f"{run.path} is a run of {counted(had, 'update')}, more than {requested:,}"
        raise RunConflictError(message, OTHER_NAME_HINT)


def _has_more_epochs(existing: Config, requested: Config) -> bool:
    """Whether the papers' schedule is to last for more epochs; with a number of updates it is not the papers'."""
    return existing.train.updates is None and requested.train.n_epochs_ref > existing.train.n_epochs_ref
