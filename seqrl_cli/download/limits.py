"""What a download may take: time, speed and bytes; and the errors with which it ends."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from seqrl_cli.console.text import byte_size

MIN_SPEED = 1000.0
"""Bytes per second below which a connection is given up."""

SPEED_SECONDS = 60.0
"""Seconds over which the speed is averaged."""

CEILING = 4_000_000_000
"""Most bytes of a file whose length nobody states."""

_RESERVE = 1_000_000_000
_MAX_CHARACTERS = 200
_TOO_LONG = "it takes longer than allowed; the same command resumes where it stopped"


class DownloadError(Exception):
    """The file cannot be fetched from this place; another attempt would not help."""


class TransientDownloadError(DownloadError):
    """This attempt failed, but another may succeed."""


def brief(text: str) -> str:
    """A server's words on one line, and not too many of them."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARACTERS else f"{line[:_MAX_CHARACTERS]}…"


@dataclass(frozen=True)
class Limits:
    """When to try again and when to give up.

    Attributes:
        timeout: seconds without data before an attempt fails, and seconds in which all headers must arrive.
        deadline: time to give up, on the monotonic clock.
        attempts: consecutive attempts without progress before giving up.
        backoff: seconds before the second attempt, doubled after each.
        least_speed: bytes per second; a slower attempt fails and is no progress.
        speed_seconds: seconds over which the speed of a connection is averaged.
        ceiling: most bytes of a file whose length neither the caller nor the server states.
    """

    timeout: float
    deadline: float
    attempts: int
    backoff: float
    least_speed: float = MIN_SPEED
    speed_seconds: float = SPEED_SECONDS
    ceiling: int = CEILING

    def seconds_left(self) -> float:
        """Seconds until the deadline.

        Raises:
            DownloadError: none are left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DownloadError(_TOO_LONG)
        return left

    def check_wait(self, seconds: float, error: DownloadError) -> None:
        """Check that another attempt after ``seconds`` would be before the deadline.

        Raises:
            DownloadError: it would be too late.
        """
        if time.monotonic() + seconds > self.deadline:
            raise DownloadError(f"{_TOO_LONG}; the last attempt failed: {error}") from error

    def check_room(self, needed: int, folder: Path) -> None:
        """Check that the disk has room for so many more bytes.

        Raises:
            DownloadError: there is not enough room.
        """
        free = shutil.disk_usage(folder).free
        if needed > free:
            message = f"the rest of the file needs {byte_size(needed)}, but only {byte_size(free)} is free on the disk"
            raise DownloadError(message)

    def size_limit(self, have: int, folder: Path) -> int:
        """Bytes at which a file of unknown length is given up: the ceiling, or less on a disk that is nearly full."""
        disk = shutil.disk_usage(folder)
        reserve = min(_RESERVE, disk.total // 10)
        return min(self.ceiling, have + max(disk.free - reserve, 0))


@dataclass
class Pace:
    """The clock of one connection: how long it may be silent, and whether its body comes fast enough.

    Headers must arrive within ``limits.timeout`` in all; afterwards the body's average speed counts.
    """

    limits: Limits
    _begun: float = field(default_factory=time.monotonic)
    _bytes: int = 0
    _in_headers: bool = True

    def expect_headers(self) -> None:
        """Headers follow, as the first ones or after a redirect."""
        self._begun, self._in_headers = time.monotonic(), True

    def expect_body(self) -> None:
        """The body follows."""
        self._begun, self._bytes, self._in_headers = time.monotonic(), 0, False

    def received(self, count: int) -> None:
        """Count bytes of the body."""
        self._bytes += count

    def read_timeout(self) -> float:
        """Seconds that the next byte may take.

        Raises:
            DownloadError: the deadline has passed.
            TransientDownloadError: the connection is too slow.
        """
        left = min(self.limits.timeout, self.limits.seconds_left())
        passed = time.monotonic() - self._begun
        if self._in_headers:
            if passed >= self.limits.timeout:
                raise TransientDownloadError(f"its headers did not end within {self.limits.timeout:g} s")
            return min(left, self.limits.timeout - passed)
        if passed >= self.limits.speed_seconds:
            if self._bytes < self.limits.least_speed * passed:
                raise TransientDownloadError(f"it arrived at only {self._bytes / passed:,.0f} bytes per second")
            self.expect_body()
        return left
