"""One writer at a time: a lock that the operating system releases when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, sweep, writing

LOCK_NAME = ".lock"


@contextmanager
def locked(folder: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the folder's lock for the block; a file beside it names the holder for other processes.

    If the block fails and leaves nothing behind, the folders that were created for it are removed again.

    Args:
        folder: created if absent.
        on_wait: called with a message before waiting for a lock that is taken; None raises instead of waiting.

    Raises:
        SeqrlError: another process holds the lock, or the folder cannot be written.
    """
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = FileLock(folder / LOCK_NAME)
    try:
        _acquire(lock, folder, on_wait)
        with writing(folder / LOCK_NAME):
            (folder / f"{LOCK_NAME}-holder").write_text(str(os.getpid()))
        sweep(folder)
        yield
    except BaseException:
        _leave_no_trace(folder, absent, ours=lock.is_locked)
        raise
    finally:
        lock.release()


def refuse_locked(folder: Path) -> None:
    """Raise the SeqrlError of :func:`locked` if another process holds the lock; creates nothing and takes no lock."""
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


def _acquire(lock: FileLock, folder: Path, on_wait: Callable[[str], None] | None) -> None:
    while True:
        make_folder(folder)
        with writing(folder / LOCK_NAME), suppress(FileNotFoundError):  # its holder failed and removed the folder
            try:
                lock.acquire(blocking=False)
            except Timeout as error:
                if on_wait is None:
                    raise _in_use(folder) from error
                on_wait(f"waiting for another seqrl{_holder(folder)} that is using {folder}")
                lock.acquire()
            return


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
    return SeqrlError(f"{folder} is in use by another seqrl{_holder(folder)}", hint)


def _holder(folder: Path) -> str:
    try:
        return f" (process {(folder / f'{LOCK_NAME}-holder').read_text().strip()})"
    except OSError:
        return ""
