"""One writer at a time in a folder; another one waits, or is refused."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import GONE_HINT, make_folder, remove_stale_temporaries, writing
from seqrl_cli.files.locks import FileLock
from seqrl_cli.runs.holder import announced, holder_text, is_held

LOCK_NAME = ".lock"

PATIENCE = 10.0
"""Seconds to wait for a run that another process writes, such as the job that a scheduler is about to end."""

FOREVER = math.inf
"""Data are waited for as long as their making takes."""


@contextmanager
def locked(
    folder: Path, console: Console | None = None, patience: float = PATIENCE, *, moves: bool = False
) -> Iterator[bool]:
    """Hold the folder's lock for the block; a file beside it names the holder for other processes.

    If the block fails and leaves nothing behind, the folders that were created for it are removed again.

    Args:
        folder: the folder, which is created if absent.
        console: told that a lock is waited for, and that a file system has no locks.
        patience: seconds to wait for a lock that is taken.
        moves: the block itself may rename or remove the folder; otherwise its absence afterwards is an error.

    Yields:
        Whether it had to wait, so that another process may have changed the folder.

    Raises:
        SeqrlError: another process still holds the lock, the folder cannot be written, or it was removed meanwhile.
    """
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = FileLock(folder / LOCK_NAME)
    try:
        waited = _acquire(lock, folder, console, patience)
        if not lock.works and console:
            _warn_of_no_locks(console)
        with ExitStack() as stack:
            with writing(lock.path):
                stack.enter_context(announced(folder))
            remove_stale_temporaries(folder)
            yield waited
            if not (moves or lock.in_place):
                raise SeqrlError(f"{folder} was removed or renamed while it was written", GONE_HINT)
    except BaseException:
        _leave_no_trace(folder, absent, ours=lock.held)
        raise
    finally:
        lock.release()


def refuse_locked(folder: Path) -> None:
    """Raise the SeqrlError of :func:`locked` if another process holds the lock; creates nothing and takes no lock."""
    if is_locked(folder):
        raise _in_use(folder)


def refuse_playing(run: Path) -> None:
    """Raise the SeqrlError of :func:`locked` if another process plays episodes of a run."""
    for folder in sorted((run / "plans").glob("*")):
        refuse_locked(folder)


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the folder's lock; its writer does not notice the question."""
    return is_held(folder)


def _acquire(lock: FileLock, folder: Path, console: Console | None, patience: float) -> bool:
    """Take the lock; returns whether another process had it at first."""
    if _try(lock, folder, 0.0):
        return False
    if patience and console:
        limit = f" for up to {patience:.0f} s" if math.isfinite(patience) else ""
        console.note(f"waiting{limit} for another seqrl{holder_text(folder)} that is using {folder}")
    if not _try(lock, folder, patience):
        raise _in_use(folder)
    return True


@cache  # once for a command
def _warn_of_no_locks(console: Console) -> None:
    console.warn("the file system of the run directory has no locks; let no other seqrl write the same files meanwhile")


def _try(lock: FileLock, folder: Path, seconds: float) -> bool:
    """Try for some seconds to take the lock; its holder may fail meanwhile and remove the folder."""
    deadline = time.monotonic() + seconds
    while True:
        make_folder(folder)
        with writing(lock.path), suppress(FileNotFoundError):
            return lock.acquire(max(deadline - time.monotonic(), 0.0))


def _leave_no_trace(folder: Path, absent: list[Path], *, ours: bool) -> None:
    """Remove the folders that were absent before, innermost first, if they contain nothing but lock files."""
    with suppress(OSError):
        files = list(folder.iterdir())
        if ours and folder in absent and all(path.name.startswith(".") and ".lock" in path.name for path in files):
            for path in files:
                path.unlink()
        for path in absent:
            path.rmdir()


def _in_use(folder: Path) -> SeqrlError:
    hint = "wait for it to finish, or use another run directory (--runs-dir)"
    return SeqrlError(f"{folder} is in use by another seqrl{holder_text(folder)}", hint)
