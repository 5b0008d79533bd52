"""The further runs of an ensemble, whose predictions are averaged with a run's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from seqrl_cli.artifacts.adapter_file import tensors_hash
from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.trained_run import SavedRun, warn_unfinished
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.planning.fit import check_plan
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore

_DIGITS = 8  # of a hash; enough to notice that a run was trained anew
_HINT = "name runs that were trained on one dataset with the same tokens: `seqrl runs` lists them"


def joined_names(store: RunStore, runs: Sequence[str], on_warning: Callable[[str], None]) -> str:
    """The value of ``plan.ensemble`` for the runs after the first, which are named on a command line.

    Raises:
        UsageError: they are not runs of one dataset, or a run is named twice.
        SeqrlError: there is no such run.
    """
    folders = [store.find(run, on_warning).path for run in runs]
    for number, folder in enumerate(folders[1:], start=1):
        if folder.resolve() in (other.resolve() for other in folders[:number]):
            raise UsageError(f"{folder.name} is named twice", "name each run once")
        if folder.resolve().parent != folders[0].resolve().parent:
            raise UsageError(f"{folder} and {folders[0]} are runs of different datasets", _HINT)
    return "+".join(folder.name for folder in folders[1:])


def load_others(
    saved: SavedRun, config: Config, device: torch.device, on_warning: Callable[[str], None]
) -> tuple[TrainedModel, ...]:
    """Load the further runs that the plan of a run names, with their newest checkpoints.

    Raises:
        SeqrlError: one is missing, cannot hold the plan, or reads other tokens.
    """
    names = config.plan.ensemble.split("+") if config.plan.ensemble else []
    first = saved.folder.path
    return tuple(_load(saved, RunFolder(first.parent / name), config, device, on_warning) for name in names)


def _load(
    first: SavedRun, folder: RunFolder, config: Config, device: torch.device, on_warning: Callable[[str], None]
) -> TrainedModel:
    saved = SavedRun.read(folder)
    if folder.path.resolve() == first.folder.path.resolve():
        raise SeqrlError(f"plan.ensemble names {folder.path.name}, the run itself", "name other runs")
    trained = load_trained(saved, device, None, on_warning)
    if not isinstance(trained, TrainedModel):
        raise SeqrlError(f"{folder.path} is no planner, so that it is no part of an ensemble", _HINT)
    if saved.record.tokens_fingerprint != first.record.tokens_fingerprint:
        raise SeqrlError(f"{folder.path} reads other tokens than {first.folder.path}", _HINT)
    check_plan(trained.model, config.model_copy(update={"model": saved.config.model}))
    warn_unfinished(folder, saved.record, trained.step, on_warning)
    return trained


def described(others: Sequence[TrainedModel]) -> str:
    """The names of an ensemble's further runs, each with a hash of its weights, so that a change is noticed."""
    return "+".join(f"{one.record.name}@{tensors_hash(one.model.state_dict())[:_DIGITS]}" for one in others)
