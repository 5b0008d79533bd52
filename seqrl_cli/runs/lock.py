"""One writer at a time: a lock that the system drops when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import make_folder, writing

LOCK_NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the block; the file names the holder for whoever finds it taken.

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
            holder = _holder(folder)
            hint = "wait for it to end, or work under another --name or --runs-dir"
            raise SeqrlError(f"{folder} is in use by another seqrl{holder}", hint) from error
    try:
        with writing(path):
            (folder / f"{LOCK_NAME}-holder").write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    try:
        return f" (process {(folder / f'{LOCK_NAME}-holder').read_text().strip()})"
    except OSError:
        return ""
