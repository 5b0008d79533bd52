"""Whether an existing run can be resumed with the requested configuration."""

from __future__ import annotations

from contextlib import suppress

from seqrl_cli.artifacts.run_conflict import OTHER_NAME_HINT, changed_keys, conflict_of_settings
from seqrl_cli.artifacts.train_job import TrainingData
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, counted
from seqrl_cli.data.terminals import is_locomotion
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.errors import RunConflictError, SeqrlError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.training.checkpoints import newest_model


def with_own_penalty(run: RunFolder, requested: Config) -> Config:
    """The requested configuration; where it leaves the penalty at terminals open, with that of the run to resume.

    Earlier versions replaced the reward at every terminal by -100, and what ``auto`` means now may be something else.
    """
    key = "data.termination_penalty"
    if requested.data.termination_penalty != "auto" or not has_key(requested.model.arch, key):
        return requested
    with suppress(SeqrlError):  # a damaged run is reported when it is resumed
        own = load_config(run.config).data.termination_penalty if run.config.exists() else "auto"
        if own != "auto":
            known = requested.data.model_copy(update={"termination_penalty": own})
            return requested.model_copy(update={"data": known})
    return requested


def say_old_penalty(run: RunFolder, data: TrainingData, console: Console) -> None:
    """Say that a run keeps a penalty that an earlier version applied at every terminal, goals included."""
    if not isinstance(data, TokenizedDataset) or data.terminal_rewards is not None or is_locomotion(data.env_id):
        return
    if data.termination_penalty is not None:
        console.note(
            f"{run.path} resumes with its old tokens, in which {data.termination_penalty:g} replaces the reward at "
            f"every terminal; `seqrl discretize {data.dataset_id} --force` keeps the rewards, for new runs"
        )


def check_resumable(run: RunFolder, requested: Config, data: TrainingData) -> tuple[RunRecord, bool]:
    """The existing run's record, and whether the request makes the run longer.

    The intervals of logging and saving may differ, since they do not change a number.

    With ``policy.curve=constant`` a policy's learning rate does not depend on when training ends, nor does a token
    model's at the papers' size. There a longer run equals the shorter one continued, bit for bit.

    Raises:
        RunConflictError: the run was trained with other settings or on other data.
        SeqrlError: its record or its configuration cannot be read.
    """
    record = read_record(run.record)
    if record.tokens_fingerprint != data.fingerprint:
        what = ARCHITECTURES[requested.model.arch].kind.reads
        message = f"{run.path} was trained on other {what} than {requested.dataset} now has"
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


def warn_of_lost_checkpoints(run: RunFolder, console: Console) -> None:
    """Warn of damaged checkpoints of a finished run, and if it has none.

    Raises:
        SeqrlError: there are checkpoints, but none is whole.
    """
    if newest_model(run.checkpoints, console.warn) is None:
        console.warn(f"{run.path} has no checkpoint any more, so nothing can play it")


def _check_updates(run: RunFolder, existing: Config, planned: int, requested: int) -> None:
    """Stop unless a run planned for some number of updates can be continued to another number.

    Raises:
        RunConflictError: fewer updates are requested, or the run's learning-rate schedule ends at another number.
    """
    if ARCHITECTURES[existing.model.arch].kind.paper_schedule or existing.policy.curve != "constant":
        raise RunConflictError(
            f"{run.path} has a learning-rate schedule for {counted(planned, 'update')}; {requested:,} need a new run",
            f"add --name {run.path.name}-{requested} for a run beside it, or --force to redo it",
        )
    if requested < planned:
        message = f"{run.path} is a run of {counted(planned, 'update')}, more than {requested:,}"
        raise RunConflictError(message, OTHER_NAME_HINT)


def _has_more_epochs(existing: Config, requested: Config) -> bool:
    """Whether more epochs of the papers' schedule are requested; a fixed number of updates replaces that schedule."""
    return existing.train.updates is None and requested.train.n_epochs_ref > existing.train.n_epochs_ref
