"""``.lock-holder``: which process holds a folder's lock.

The holder keeps a second lock on this file, of the kind that others can ask about without taking it, so that nobody who
only looks at a run is ever in its writer's way.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOLDER_NAME = ".lock-holder"

_FLOCK = struct.Struct("hhqqi4x")  # Linux's struct flock: type, whence, start, length, process
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_WITHOUT_LOCK = "without lock"


@contextmanager
def announced(folder: Path) -> Iterator[None]:
    """Say for the block that this process holds the folder's lock, which it must do.

    Raises:
        OSError: the file cannot be written.
    """
    with holding(folder / HOLDER_NAME):
        yield


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Name this process in a file, and keep a lock on it for the block, which others can ask about.

    Raises:
        OSError: the file cannot be written.
    """
    path.unlink(missing_ok=True)  # it may be a link to something else
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        lines = [str(os.getpid()), socket.gethostname()]
        if not _mark(descriptor):
            lines.append(_WITHOUT_LOCK)
        os.write(descriptor, "\n".join(lines).encode())
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)  # the process lives on, and without locks its number would count
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether a living process holds the folder's lock; takes no lock and changes nothing."""
    return has_holder(folder / HOLDER_NAME)


def has_holder(path: Path) -> bool:
    """Whether the process that a file names lives and is in its block; takes no lock and changes nothing."""
    try:
        descriptor = _open(path)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        return _is_marked(descriptor) or _lives(_lines(file.read(1000)))


def holder_process(folder: Path) -> int | None:
    """The process on this machine that holds the folder's lock; None if there is none, or it is unknown."""
    if not is_held(folder):
        return None
    with suppress(OSError), os.fdopen(_open(folder / HOLDER_NAME), "rb") as file:
        process, host, *_ = [*_lines(file.read(1000)), "", ""]
        if process.isdecimal() and host == socket.gethostname():
            return int(process)
    return None


def holder_text(folder: Path) -> str:
    """The holder in words, such as `` (process 123)``; empty if it is unknown."""
    try:
        with os.fdopen(_open(folder / HOLDER_NAME), "rb") as file:
            process, host, *_ = [*_lines(file.read(1000)), ""]
    except OSError:
        return ""
    if not process.isdecimal():
        return ""
    return f" (process {process})" if host in ("", socket.gethostname()) else f" (process {process} on {host})"


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").split("\n")


def _mark(descriptor: int) -> bool:
    """Lock the file as a sign for others; false where there are no such locks."""
    if not hasattr(fcntl, "F_OFD_SETLK"):  # not on Linux
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except OSError:
        return False
    return True


def _is_marked(descriptor: int) -> bool:
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    except OSError:
        return False
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _lives(lines: list[str]) -> bool:
    """Whether the file says that its process could not lock it, and that process lives on this machine."""
    if lines[1:] != [socket.gethostname(), _WITHOUT_LOCK] or not lines[0].isdecimal():
        return False
    try:
        os.kill(int(lines[0]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
