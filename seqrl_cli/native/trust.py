"""Which files may be loaded as code: the user's own, where nobody else can put others in their place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(PermissionError):
    """Somebody else could have written this."""


def check_folder(folder: Path) -> None:
    """Check that a folder, and a link that leads to it, is the user's own, and that only the user can write there.

    Raises:
        UntrustedError: it is not.
        OSError: there is no such folder.
    """
    _check(folder, folder.lstat(), links=True)
    _check(folder, folder.stat())


@contextmanager
def trusted(path: Path) -> Iterator[int]:
    """Open a regular file of the user's own that nobody else can write; yields its descriptor.

    What is checked and read through the descriptor is one file, whatever happens to its name meanwhile.

    Raises:
        UntrustedError: it is somebody else's, or a link, or others can write it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedError(f"{path} is not a regular file")
        _check(path, status)
        yield descriptor
    finally:
        os.close(descriptor)


def _check(path: Path, status: os.stat_result, *, links: bool = False) -> None:
    if status.st_uid != os.getuid():
        raise UntrustedError(f"{path} belongs to another user")
    is_link = stat.S_ISLNK(status.st_mode)  # whose mode says nothing
    if not (links and is_link) and status.st_mode & _OTHERS_WRITE:
        raise UntrustedError(f"{path} can be written by others")
