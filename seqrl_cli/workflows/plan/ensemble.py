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
from seqrl_cli.planning.plan_check import check_plan
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.runs.store import RunStore

_DIGITS = 8  # of a hash; enough to notice that weights have changed
_MAX_CHARACTERS = 150  # they become part of a folder's name
_HINT = "name runs that lie side by side and read the same tokens: `seqrl runs` lists them"

CheckRun = Callable[[SavedRun], None]


def joined_names(store: RunStore, runs: Sequence[str], on_warning: Callable[[str], None]) -> str:
    """The value of ``plan.ensemble`` for the runs after the first, which are named on a command line.

    Raises:
        UsageError: they are not runs in one folder, or a run is named twice.
        SeqrlError: there is no such run.
    """
    folders = [store.find(run, on_warning).path for run in runs]
    for folder in folders[1:]:
        if folder.resolve().parent != folders[0].resolve().parent:
            raise UsageError(f"{folder} and {folders[0]} are in different folders", _HINT)
    names = "+".join(folder.name for folder in folders[1:])
    _members(f"{folders[0].name}+{names}")
    return names


def without_hashes(ensemble: str | None) -> str | None:
    """The value of ``plan.ensemble`` without the hashes that its names may carry."""
    return None if ensemble is None else "+".join(name for name, _ in _members(ensemble))


def load_others(
    saved: SavedRun, config: Config, device: torch.device, check_run: CheckRun, on_warning: Callable[[str], None]
) -> tuple[TrainedModel, ...]:
    """Load the further runs that the plan of a run names, with their newest checkpoints.

    Args:
        saved: the run.
        config: the run's configuration with the plan's settings.
        device: the device to put the models on.
        check_run: called with each further run before its model is loaded.
        on_warning: called with a message for each run that is not finished, or has a damaged checkpoint.

    Raises:
        UsageError: names that no runs have, or that are repeated.
        SeqrlError: a run is missing, cannot hold the plan, reads other tokens, or has other weights than its hash says.
    """
    loaded = []
    for name, wanted in _members(config.plan.ensemble) if config.plan.ensemble else ():
        folder = RunFolder(saved.folder.path.parent / name)
        if folder.path.resolve() == saved.folder.path.resolve():
            raise UsageError(f"plan.ensemble names {name}, the run itself", "name other runs")
        other = SavedRun.read(folder)
        check_run(other)
        trained = _load(saved, other, config, device, on_warning)
        if wanted is not None and _hash(trained) != wanted:
            raise SeqrlError(f"the weights of {folder.path} have changed meanwhile", "the same command starts over")
        loaded.append(trained)
    return tuple(loaded)


def described(others: Sequence[TrainedModel]) -> str:
    """The names of an ensemble's further runs, each with a hash of its weights, so that a change is noticed."""
    return "+".join(f"{one.record.name}@{_hash(one)}" for one in others)


def _load(
    first: SavedRun, other: SavedRun, config: Config, device: torch.device, on_warning: Callable[[str], None]
) -> TrainedModel:
    """The model of a further run that fits the first."""
    trained = load_trained(other, device, None, on_warning)
    if not isinstance(trained, TrainedModel):
        raise SeqrlError(f"{other.folder.path} does not plan, so it cannot join an ensemble", _HINT)
    if other.record.tokens_fingerprint != first.record.tokens_fingerprint:
        raise SeqrlError(f"{other.folder.path} reads other tokens than {first.folder.path}", _HINT)
    check_plan(trained.model, config.model_copy(update={"model": other.config.model}))
    warn_unfinished(other.folder, other.record, trained.step, on_warning)
    return trained


def _members(ensemble: str) -> list[tuple[str, str | None]]:
    """The names in a value of ``plan.ensemble``, each with its hash if it has one.

    Raises:
        UsageError: a name is repeated or impossible, or they are too long for the name of a folder.
    """
    found = [name.partition("@") for name in ensemble.split("+")]
    names = [check_name("run", name) for name, _, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is named twice", "name each run once")
    if sum(map(len, names)) > _MAX_CHARACTERS:
        hint = f"`seqrl runs rename` gives shorter names, of {_MAX_CHARACTERS} characters in all"
        raise UsageError("the names of the runs are too long to name the plan's folder", hint)
    return [(name, digits or None) for name, _, digits in found]


def _hash(trained: TrainedModel) -> str:
    return tensors_hash(trained.model.state_dict())[:_DIGITS]
