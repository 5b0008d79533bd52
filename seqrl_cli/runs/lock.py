"""One writer at a time: a lock that the system drops when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import make_folder, writing

LOCK_NAME = ".lock"


@contextmanager
def locked(folder: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the folder's lock for the block; the file names the holder for whoever finds it taken.

    Args:
        folder: made when absent.
        on_wait: wait for the lock, and say so through this; None refuses at once.

    Raises:
        SeqrlError: another process writes here, or the folder cannot be written.
    """
    make_folder(folder)
    path = folder / LOCK_NAME
    lock = FileLock(path)
    with writing(path):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            if on_wait:
                on_wait(f"waiting for another seqrl{_holder(folder)} that works on {folder}")
                lock.acquire()
            else:
                raise _in_use(folder) from error
    try:
        with writing(path):
            (folder / f"{LOCK_NAME}-holder").write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def refuse_locked(folder: Path) -> None:
    """Raise the SeqrlError of :func:`locked` when another process writes here; makes and takes nothing."""
    if is_locked(folder):
        raise _in_use(folder)


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the folder's lock."""
    path = folder / LOCK_NAME
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _in_use(folder: Path) -> SeqrlError:
    hint = "wait for it to end; another run directory (--runs-dir) is free of it"
    return SeqrlError(f"{folder} is in use by another seqrl{_holder(folder)}", hint)


def _holder(folder: Path) -> str:
    try:
        return f" (process {(folder / f'{LOCK_NAME}-holder').read_text().strip()})"
    except OSError:
        return ""
