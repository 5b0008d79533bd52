"""Replace a run: the new one is written beside the old one, which stays until the new one is complete.

::

    gpt-s42/         the old run, and its lock
    .gpt-s42.new/    the new run while it is written
    .gpt-s42.whole/  the new run once it is complete and will replace the old one
    .gpt-s42.moving/ the new run once the old one is out of the way
    .gpt-s42.old/    the old run until it is deleted

A killed process leaves some of these hidden folders behind. ``finish_replacement`` completes a replacement that got as
far as ``.whole`` and removes everything else, so call it first after taking a run's lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self, TypeVar

from seqrl_cli.files.atomic import make_folder, writing
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import refuse_playing


class Replaceable(Protocol):
    """The folder of a run of some kind."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def record(self) -> Path:
        """The file without which the folder is not a run."""

    @property
    def contents(self) -> list[Path]:
        """All files and folders of a run, the record first."""

    def at(self, path: Path) -> Self:
        """The same kind of folder elsewhere."""


Folder = TypeVar("Folder", bound=Replaceable)


def holds_run(run: Replaceable) -> bool:
    """Whether the folder contains a run or what remains of one."""
    return any(path.exists() for path in run.contents)


@contextmanager
def replacing(run: Folder) -> Iterator[Folder]:
    """Write a run that replaces an existing one, if any; the caller holds the lock of ``run``.

    Yields:
        The hidden folder to write the new run to. If the block succeeds, its files replace those of ``run``; if the
        block fails, they are removed and ``run`` is left as it was.

    Raises:
        SeqrlError: another process plays episodes of the old run, or the folder cannot be written.
    """
    refuse_playing(run.path)
    finish_replacement(run)
    new = run.at(_beside(run, "new"))
    make_folder(new.path)
    try:
        yield new
        with writing(run.path):
            new.path.rename(_beside(run, "whole"))
    except BaseException:
        shutil.rmtree(new.path, ignore_errors=True)
        raise
    finish_replacement(run)


def finish_replacement(run: Replaceable) -> bool:
    """Complete an interrupted replacement and remove its leftovers; the caller holds the lock of ``run``.

    Returns:
        Whether a new run has replaced the old one.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    whole, moving, old = (_beside(run, stage) for stage in ("whole", "moving", "old"))
    with writing(run.path):
        _remove_links(run)
        replaces = whole.exists() or moving.exists()
        if whole.exists():
            old.mkdir(exist_ok=True)
            run.path.mkdir(exist_ok=True)
            for path in run.contents:  # the record is moved away first
                if path.exists():
                    path.rename(old / path.name)
            whole.rename(moving)
        if moving.exists():
            for path in sorted(moving.iterdir(), key=lambda path: path.name == run.record.name):
                path.rename(run.path / path.name)
            moving.rmdir()
    for leftover in (_beside(run, "new"), old):
        shutil.rmtree(leftover, ignore_errors=True)
    return replaces


def attached_results(run: RunFolder) -> str | None:
    """The plans, plots and videos that are removed with a run, as text; None if there are none."""
    parts = []
    for folder in (run.plans, run.plots, run.videos):
        names = sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
        if names:
            parts.append(f"{folder.name} ({', '.join(names)})")
    return ", ".join(parts) or None


def _remove_links(run: Replaceable) -> None:
    """Remove links in place of the hidden folders, which are never links: what they lead to is not a run's."""
    for stage in ("new", "whole", "moving", "old"):
        if _beside(run, stage).is_symlink():
            _beside(run, stage).unlink()


def _beside(run: Replaceable, stage: str) -> Path:
    return run.path.with_name(f".{run.path.name}.{stage}")
