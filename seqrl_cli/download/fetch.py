"""Fetch one file over an unreliable network: from the first place that has it, verified, and complete or not at all.

Received bytes are kept beside the destination (:mod:`seqrl_cli.download.partial`), so that a later attempt resumes
where this one stopped, even in another process or from a mirror.
"""

from __future__ import annotations

import os
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.download.limits import CEILING, MIN_SPEED, SPEED_SECONDS, DownloadError, Limits
from seqrl_cli.download.partial import Partial
from seqrl_cli.download.transfer import ByteProgress, Transfer
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import atomic_path, fsync, make_folder, writing
from seqrl_cli.files.hashes import file_sha256
from seqrl_cli.files.locks import FileLock


class _WrongContentError(DownloadError):
    """The received bytes are not the expected file."""


def fetch(
    url: str | Sequence[str],
    destination: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    timeout: float = 30.0,
    total_timeout: float = 6 * 3600.0,
    attempts: int = 5,
    backoff: float = 1.0,
    least_speed: float = MIN_SPEED,
    speed_seconds: float = SPEED_SECONDS,
    ceiling: int = CEILING,
    hint: str = "",
    progress: ByteProgress | None = None,
) -> str:
    """Download or copy a file to ``destination``; an existing file with the right content is kept.

    Uses the system's proxies. Only one process at a time fetches to the same destination; the others wait, and then
    find the file.

    Args:
        url: ``http(s)://…``, ``file://…`` or a local path; or several such places, tried in turn.
        destination: the file to write.
        sha256: expected hash, as hexadecimal digits.
        size: expected bytes.
        timeout: seconds without data before an attempt fails; headers must end within as many.
        total_timeout: seconds for all attempts together.
        attempts: consecutive attempts without progress before giving up on a place.
        backoff: seconds before the second attempt, doubled after each.
        least_speed: bytes per second, below which an attempt fails and is no progress.
        speed_seconds: seconds over which the speed of a connection is averaged.
        ceiling: most bytes of a file whose length neither ``size`` nor the server states.
        hint: advice on what the user can do if the file cannot be fetched.
        progress: called with (bytes so far, total bytes or None).

    Returns:
        SHA-256 of the file, as hexadecimal digits.

    Raises:
        SeqrlError: the file cannot be fetched or is not the expected one. Received bytes are kept for the next try.
    """
    places = [url] if isinstance(url, str) else list(url)
    make_folder(destination.parent)
    deadline = time.monotonic() + total_timeout
    limits = Limits(timeout, deadline, attempts, backoff, least_speed, speed_seconds, ceiling)
    download = _Download(destination, sha256, size, limits, progress)
    with writing(destination), FileLock(destination.with_name(f".{destination.name}.lock")):
        if destination.is_file() and _is_expected(destination, sha256, size):
            return sha256 or file_sha256(destination)
        reasons = []
        for place in places:
            try:
                return download.try_place(place)
            except DownloadError as error:
                reasons.append(f"cannot fetch {place}: {error}")
    raise SeqrlError("; ".join(reasons), hint)


@dataclass(frozen=True)
class _Download:
    """One file to fetch, from any place."""

    destination: Path
    sha256: str | None
    size: int | None
    limits: Limits
    progress: ByteProgress | None

    def try_place(self, place: str) -> str:
        """Fetch the file from one place; returns its hash."""
        source = _local_source(place)
        if source is not None:
            return self._copy(source)
        try:
            resumed = self._transfer(place)
            return self._place()
        except _WrongContentError:
            # The resumed bytes may be wrong rather than the server's: try once more without them.
            if not resumed or time.monotonic() > self.limits.deadline:
                raise
        self._transfer(place)
        return self._place()

    def _transfer(self, url: str) -> bool:
        partial = Partial.beside(self.destination)
        return Transfer(url, partial, self.size, self.sha256 is not None, self.limits, self.progress).run()

    def _place(self) -> str:
        """Rename a complete partial file to its final name; one with a wrong hash is deleted."""
        partial = Partial.beside(self.destination)
        digest = file_sha256(partial.path)
        if self.sha256 is not None and digest != self.sha256:
            partial.forget()
            raise _WrongContentError(f"its SHA-256 is {digest}, not the expected {self.sha256}")
        fsync(partial.path)
        partial.path.replace(self.destination)
        fsync(self.destination.parent)
        partial.notes.unlink(missing_ok=True)
        return digest

    def _copy(self, source: Path) -> str:
        if not source.is_file():
            raise DownloadError("there is no such file")
        if not os.access(source, os.R_OK):
            raise DownloadError("it may not be read")
        before = source.stat()
        self.limits.check_room(before.st_size, self.destination.parent)
        with atomic_path(self.destination) as temporary:
            shutil.copyfile(source, temporary)
            after = source.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise DownloadError("it changed while it was being read")
            if not _is_expected(temporary, self.sha256, self.size):
                found = f"{after.st_size} bytes and SHA-256 {file_sha256(temporary)}"
                raise DownloadError(f"it has {found}, not the expected {self._expectation()}")
        if self.progress:
            self.progress(before.st_size, before.st_size)
        return file_sha256(self.destination)

    def _expectation(self) -> str:
        size = [f"{self.size} bytes"] if self.size is not None else []
        return " and ".join([*size, f"SHA-256 {self.sha256}"] if self.sha256 else size)


def _is_expected(path: Path, sha256: str | None, size: int | None) -> bool:
    if size is not None and path.stat().st_size != size:
        return False
    return sha256 is None or file_sha256(path) == sha256


def _local_source(place: str) -> Path | None:
    """The local path that a place refers to; None if it is on the network."""
    parts = urllib.parse.urlsplit(place)
    if parts.scheme in ("http", "https"):
        return None
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if parts.scheme:
        raise DownloadError(f"{parts.scheme}:// is not supported, only http, https and file")
    return Path(place)
