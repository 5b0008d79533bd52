"""Fetch one file over a network that fails: from the first place that has it, checked, and placed whole or not at all.

What was received is kept beside the destination (:mod:`seqrl_cli.data.download.partial`), so that a later attempt,
also by another process or from a mirror, resumes where this one stopped.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from seqrl_cli.data.download.partial import Partial
from seqrl_cli.data.download.transfer import ByteProgress, DownloadError, RetryPolicy, Transfer
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import atomic_path, fsync, make_folder, writing


class _WrongContentError(DownloadError):
    """What came in is not the expected file."""


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
    hint: str = "",
    progress: ByteProgress | None = None,
) -> str:
    """Fetch a file, or copy a local one, to ``destination``; a file that is there and right is kept.

    Proxies are those of the system. Only one process at a time fetches to the same destination; the others wait and
    then find it there.

    Args:
        url: ``http(s)://…``, ``file://…`` or a local path; or several places that have the file, tried in turn.
        destination: the file to make.
        sha256: expected hash, as hexadecimal digits.
        size: expected bytes.
        timeout: seconds without a byte before an attempt is given up.
        total_timeout: seconds for all attempts together.
        attempts: attempts in a row that bring nothing before a place is given up; one that brings bytes starts a new
            count.
        backoff: seconds before the second attempt, doubled after each.
        hint: what the user can do when the file cannot be had.
        progress: called with (bytes so far, bytes in all or None).

    Returns:
        SHA-256 of the file, as hexadecimal digits.

    Raises:
        SeqrlError: the file cannot be had or is not the expected one. What came in so far is kept for the next try.
    """
    places = [url] if isinstance(url, str) else list(url)
    make_folder(destination.parent)
    retries = RetryPolicy(timeout, time.monotonic() + total_timeout, attempts, backoff)
    download = _Download(destination, sha256, size, retries, progress)
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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Download:
    """What is wanted, wherever it comes from."""

    destination: Path
    sha256: str | None
    size: int | None
    retries: RetryPolicy
    progress: ByteProgress | None

    def try_place(self, place: str) -> str:
        """Get the file from one place; returns its hash."""
        source = _local_source(place)
        if source is not None:
            return self._copy(source)
        try:
            resumed = self._transfer(place)
            return self._place()
        except _WrongContentError:
            # The bytes from before may be to blame, and not the server: once more, without them.
            if not resumed or time.monotonic() > self.retries.deadline:
                raise
        self._transfer(place)
        return self._place()

    def _transfer(self, url: str) -> bool:
        partial = Partial.beside(self.destination)
        return Transfer(url, partial, self.size, self.sha256 is not None, self.retries, self.progress).run()

    def _place(self) -> str:
        """Give a complete partial file its name; one with the wrong hash is deleted, for it cannot be repaired."""
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
        before = source.stat()
        with atomic_path(self.destination) as temporary:
            shutil.copyfile(source, temporary)
            after = source.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise DownloadError("it changes while it is read")
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
    """The path that a place means, or None when it is on the network."""
    parts = urllib.parse.urlsplit(place)
    if parts.scheme in ("http", "https"):
        return None
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if parts.scheme:
        raise DownloadError(f"{parts.scheme}:// is not supported, only http, https and file")
    return Path(place)
