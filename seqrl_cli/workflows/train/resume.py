"""A run that is there already: whether the one asked for is the same, or the same and longer, or another."""

from __future__ import annotations

from seqrl_cli.artifacts.policy_data import PolicyData
from seqrl_cli.artifacts.run_conflict import OTHER_NAME_HINT, changed_keys, conflict_of_settings
from seqrl_cli.config.architectures import POLICIES
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import counted
from seqrl_cli.errors import RunConflictError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.workflows.train.setup import TrainingData


def check_same(run: RunFolder, asked: Config, data: TrainingData) -> tuple[RunRecord, bool]:
    """The record of the run that is there, and whether it is to become longer than it was to be.

    It may keep its books otherwise: how often it logs or saves changes no number.

    A policy's learning rate does not depend on when training ends, and that of a token model at the papers' size
    neither: there a longer run is the shorter one that went on, to the bit.

    Raises:
        RunConflictError: it is not the run that is asked for.
        SeqrlError: its record or its configuration cannot be read.
    """
    record = read_record(run.record)
    if record.tokens_fingerprint != data.fingerprint:
        what = "data" if isinstance(data, PolicyData) else "tokens"
        raise RunConflictError(f"{run.path} was trained on other {what} than {asked.dataset} has", "--force redoes it")
    if not run.config.exists():
        return record, False
    there = load_config(run.config)
    changed = changed_keys(there, asked, without=("plan",))
    if changed == ["train.updates"] and there.train.updates and asked.train.updates:
        _check_updates(run, there, there.train.updates, asked.train.updates)
    elif changed and not (changed == ["train.n_epochs_ref"] and _has_more_epochs(there, asked)):
        raise conflict_of_settings(run, there, asked, changed)
    return record, bool(changed)


def _check_updates(run: RunFolder, there: Config, had: int, asked: int) -> None:
    """Stop at another number of updates than a run had, unless it may go on to it.

    Raises:
        RunConflictError: it has that many already, or its learning rate was laid out for another number.
    """
    if there.model.arch not in POLICIES:
        raise RunConflictError(
            f"{run.path} is a run of {counted(had, 'update')}, over which its learning rate falls to a tenth: "
            f"with {asked:,} it would have been another run from the start",
            f"add --name {run.path.name}-{asked} for a run beside it, or --force to redo it",
        )
    if asked < had:
        raise RunConflictError(f"{run.path} is a run of {counted(had, 'update')}, more than {asked:,}", OTHER_NAME_HINT)


def _has_more_epochs(there: Config, asked: Config) -> bool:
    """Whether the papers' schedule goes on for more epochs; with a number of updates it is not the papers'."""
    return there.train.updates is None and asked.train.n_epochs_ref > there.train.n_epochs_ref
