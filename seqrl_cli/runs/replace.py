"""A run that takes another one's place: it is made beside the old one, which stays until the new one is whole.

::

    gpt-s42/         the old run, and its lock
    .gpt-s42.new/    the new run while it is made
    .gpt-s42.whole/  the new run from the moment on that it is to replace the old one
    .gpt-s42.moving/ the new run when the old one is out of the way
    .gpt-s42.old/    the old run until it is deleted

A kill leaves some of these hidden folders. ``finish_replacement`` completes what had begun with ``.whole`` and removes
the rest, so whoever takes a run's lock calls it first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqrl_cli.runs.atomic import make_folder, writing
from seqrl_cli.runs.layout import RunFolder


def holds_run(run: RunFolder) -> bool:
    """Whether the folder contains a run or what remains of one."""
    return any(path.exists() for path in _contents(run))


@contextmanager
def replacing(run: RunFolder) -> Iterator[RunFolder]:
    """Make a run that takes the place of the one that is there, if any; the caller holds the lock of ``run``.

    Yields:
        The hidden folder to write the new run to. When the block ends well, its files replace those of ``run``; when
        the block fails, they are removed and ``run`` is as it was.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    finish_replacement(run)
    new = RunFolder(_beside(run, "new"))
    make_folder(new.path)
    try:
        yield new
        with writing(run.path):
            new.path.rename(_beside(run, "whole"))
    except BaseException:
        shutil.rmtree(new.path, ignore_errors=True)
        raise
    finish_replacement(run)


def finish_replacement(run: RunFolder) -> bool:
    """Complete a replacement that a kill cut short, and remove what one left; the caller holds the lock of ``run``.

    Returns:
        Whether a new run has taken its place now.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    whole, moving, old = (_beside(run, stage) for stage in ("whole", "moving", "old"))
    replaces = whole.exists() or moving.exists()
    with writing(run.path):
        if whole.exists():
            old.mkdir(exist_ok=True)
            run.path.mkdir(exist_ok=True)
            for path in _contents(run):
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


def goes_with(run: RunFolder) -> str | None:
    """The plans, plots and videos that are removed with a run, in words; None where there are none."""
    parts = []
    for folder in (run.plans, run.plots, run.videos):
        names = sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
        if names:
            parts.append(f"{folder.name} ({', '.join(names)})")
    return ", ".join(parts) or None


def _beside(run: RunFolder, stage: str) -> Path:
    return run.path.with_name(f".{run.path.name}.{stage}")


def _contents(run: RunFolder) -> list[Path]:
    """All that a run consists of; the record comes first, because without it the others are no run."""
    files = [run.record, run.config, run.metrics, run.own_tokens]
    return [*files, run.buffer, run.checkpoints, run.plans, run.plots, run.videos]
