"""Continual runs among the runs that a report or a plot is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.continual_results import ContinualResult, read_continual
from seqrl_cli.runs.layout import CONTINUAL
from seqrl_cli.runs.store import RunStore


def continual_folders(store: RunStore, name: str) -> list[Path]:
    """Folders of a name, which may be that of a continual run."""
    places = {path.resolve(): path for path in (store.root / name, Path(name)) if path.is_dir()}
    folders = list(places.values())
    run = None if folders else store.find_continual(name)
    return [run] if run else folders


def read_continual_runs(folders: Sequence[Path], on_warning: Callable[[str], None]) -> list[ContinualResult]:
    """All finished continual runs below some folders, with a warning for each other one.

    Raises:
        SeqrlError: there are continual runs only, and none is finished.
    """
    results: list[ContinualResult] = []
    unfinished = []
    for found, left_out in map(read_continual, folders):
        results += found
        unfinished += left_out
    for sentence in unfinished:
        on_warning(sentence)
    if unfinished and not results and not any(RunStore(folder).files_named("run.json") for folder in folders):
        places = ", ".join(map(str, folders))
        message = f"no continual run in {places} has learned all of its tasks yet"
        raise SeqrlError(message, "the command that began it goes on; `seqrl runs` shows how far it is")
    return results


def has_only_continual(store: RunStore, name: str) -> bool:
    """Whether a name stands for continual runs and for no other run."""
    below = [RunStore(folder) for folder in continual_folders(store, name)]
    continual = any(each.files_named(CONTINUAL) for each in below)
    return continual and not any(each.files_named("run.json") for each in below)
