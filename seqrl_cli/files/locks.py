"""Locks between processes, which the operating system releases when their holder dies."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import time
from pathlib import Path
from types import TracebackType

POLL_SECONDS = 0.05

_TAKEN = (errno.EAGAIN, errno.EACCES)
_ENOTSUPP = 524  # what Linux's NFS answers; the errno module lacks it
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, _ENOTSUPP)


class FileLock:
    """An exclusive lock on a file, which is created if it is absent and stays afterwards.

    Some file systems have no locks: NFS without its lock service, Lustre mounted without ``flock``. There the lock is
    given to everyone, and ``works`` is false.

    Args:
        path: the file; its folder must exist.
        timeout: seconds that a ``with`` statement waits before it raises TimeoutError.
    """

    def __init__(self, path: Path, timeout: float = math.inf) -> None:
        self.path = path
        self.timeout = timeout
        self.works = True
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to the file whose lock is held."""
        return self._descriptor is not None and self._is_the_file(self._descriptor)

    def acquire(self, timeout: float = 0.0) -> bool:
        """Try to take the lock for some seconds, at least once; returns whether it is held now.

        Raises:
            OSError: the file cannot be created or opened.
        """
        deadline = time.monotonic() + timeout
        while not self._take():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def release(self) -> None:
        """Give the lock back, if it is held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> FileLock:
        if not self.acquire(self.timeout):
            raise TimeoutError(errno.ETIMEDOUT, "another process holds the lock", str(self.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _take(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o666)
        try:
            self.works = _lock(descriptor)
            if self._is_the_file(descriptor):
                self._descriptor = descriptor
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        finally:
            if self._descriptor is None:
                os.close(descriptor)
        return self.held

    def _is_the_file(self, descriptor: int) -> bool:
        """Whether the path still leads to the locked file, which its last holder may have removed."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path, follow_symlinks=False))
        except FileNotFoundError:
            return False


def _lock(descriptor: int) -> bool:
    """Lock an open file at once; false if its file system has no locks.

    Raises:
        OSError: another process holds the lock, or the file system failed.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _WITHOUT_LOCKS:
            return False
        raise
    return True
