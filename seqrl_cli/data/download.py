"""Fetch one file over a network that fails: resumed, checked, and placed whole or not at all.

While a file comes in it is ``<name>.part``; beside it ``<name>.part.json`` holds what the server said of it (size,
ETag, date), so that a later attempt, also of another process, continues only if the file is still the same one.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import atomic_path, fsync, make_folder, write_json_atomic, writing

Progress = Callable[[int, int | None], None]

_CHUNK_BYTES = 1 << 18
_LONGEST_WAIT = 30.0
_PASSING_ANSWERS = {408, 425, 429, 500, 502, 503, 504}


class _Failed(Exception):
    """The file cannot be had; trying again would not help."""


class _Interrupted(_Failed):
    """This attempt failed in a way that the next may not."""


@dataclass(frozen=True)
class _Remote:
    """What a server says about a file; ``size`` is None when it does not state one."""

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What ``If-Range`` may carry: a strong ETag, else the date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def matches(self, other: _Remote) -> bool:
        """Whether nothing that both state differs."""
        pairs = [(self.size, other.size), (self.etag, other.etag), (self.modified, other.modified)]
        return all(mine is None or theirs is None or mine == theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class _Partial:
    """An unfinished file and the notes about where it comes from."""

    path: Path
    notes: Path

    @classmethod
    def beside(cls, destination: Path) -> _Partial:
        return cls(
            destination.with_name(destination.name + ".part"), destination.with_name(destination.name + ".part.json")
        )

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def remote(self, url: str) -> _Remote | None:
        """Where the bytes that are here come from; None when they are none, of another URL, or of unknown origin."""
        if not self.path.exists() or not self.notes.exists():
            return None
        try:
            remote = _Remote(**json.loads(self.notes.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return None
        return remote if remote.url == url and self.size() <= (remote.size or self.size()) else None

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def fetch(
    url: str,
    destination: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    timeout: float = 30.0,
    total_timeout: float = 6 * 3600.0,
    attempts: int = 5,
    backoff: float = 1.0,
    hint: str = "",
    progress: Progress | None = None,
) -> str:
    """Fetch a URL, or copy a local file, to ``destination``; a file that is there and right is kept.

    Proxies are those of the system. Only one process at a time fetches to the same destination; the others wait and
    then find it there.

    Args:
        url: ``http(s)://…``, ``file://…`` or a local path.
        destination: the file to make.
        sha256: expected hash, as hexadecimal digits.
        size: expected bytes.
        timeout: seconds without a byte before an attempt is given up.
        total_timeout: seconds for all attempts together.
        attempts: attempts in a row that bring nothing before giving up; one that brings bytes starts a new count.
        backoff: seconds before the second attempt, doubled after each.
        hint: what the user can do when the file cannot be had.
        progress: called with (bytes so far, bytes in all or None).

    Returns:
        SHA-256 of the file, as hexadecimal digits.

    Raises:
        SeqrlError: the file cannot be had or is not the expected one. What came in so far is kept for the next try.
    """
    make_folder(destination.parent)
    with writing(destination), FileLock(destination.with_name(f".{destination.name}.lock")):
        if destination.is_file() and _is_expected(destination, sha256, size):
            return sha256 or file_sha256(destination)
        try:
            source = _local_source(url)
            if source is not None:
                return _copy(source, destination, sha256, size, progress)
            partial = _Partial.beside(destination)
            transfer = _Transfer(url, partial, sha256, size, timeout, time.monotonic() + total_timeout, progress)
            _retry(transfer, attempts, backoff)
            return _place(partial, destination, sha256)
        except _Failed as error:
            raise SeqrlError(f"cannot fetch {url}: {error}", hint) from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_expected(path: Path, sha256: str | None, size: int | None) -> bool:
    if size is not None and path.stat().st_size != size:
        return False
    return sha256 is None or file_sha256(path) == sha256


def _local_source(url: str) -> Path | None:
    """The path that a URL means, or None when it is on the network."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("http", "https"):
        return None
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if parts.scheme:
        raise _Failed(f"{parts.scheme}:// is not supported, only http, https and file")
    return Path(url)


def _copy(source: Path, destination: Path, sha256: str | None, size: int | None, progress: Progress | None) -> str:
    if not source.is_file():
        raise _Failed("there is no such file")
    with atomic_path(destination) as temporary:
        shutil.copyfile(source, temporary)
        if not _is_expected(temporary, sha256, size):
            raise _Failed(
                f"it has {source.stat().st_size} bytes and SHA-256 {file_sha256(source)}, which is not expected"
            )
    if progress:
        progress(destination.stat().st_size, destination.stat().st_size)
    return file_sha256(destination)


def _place(partial: _Partial, destination: Path, sha256: str | None) -> str:
    """Give a complete partial file its name; one with the wrong hash is deleted, for it cannot be repaired."""
    digest = file_sha256(partial.path)
    if sha256 is not None and digest != sha256:
        partial.forget()
        raise _Failed(f"its SHA-256 is {digest}, not the expected {sha256}")
    fsync(partial.path)
    partial.path.replace(destination)
    fsync(destination.parent)
    partial.notes.unlink(missing_ok=True)
    return digest


def _retry(transfer: _Transfer, attempts: int, backoff: float) -> None:
    """Attempt until the partial file is complete.

    Only bytes beyond the most there ever were count as progress: a server that lies about the length would else be
    asked forever, from the start each time.
    """
    failures, most = 0, transfer.partial.size()
    while True:
        try:
            return transfer.attempt()
        except _Interrupted:
            failures = 1 if transfer.partial.size() > most else failures + 1
            most = max(most, transfer.partial.size())
            wait = min(backoff * 2 ** (failures - 1), _LONGEST_WAIT)
            if failures >= attempts or time.monotonic() + wait > transfer.deadline:
                raise
            time.sleep(wait)


@dataclass(frozen=True)
class _Transfer:
    """One file on its way from a server to a partial file."""

    url: str
    partial: _Partial
    sha256: str | None
    size: int | None
    timeout: float
    deadline: float
    progress: Progress | None

    def attempt(self) -> None:
        """Bring the partial file closer to complete; returns when it is."""
        known = self.partial.remote(self.url)
        have = self.partial.size() if known else 0
        if known and have == known.size:
            return
        with self._open(known, have) as response:
            remote = self._describe(response)
            start = self._resumed_at(response, known, have, remote)
            if start == 0:
                write_json_atomic(self.partial.notes, asdict(remote))
            self._receive(response, start, remote.size)
        if remote.size is not None and self.partial.size() < remote.size:
            raise _Interrupted(f"the connection ended after {self.partial.size()} of {remote.size} bytes")

    def _open(self, known: _Remote | None, have: int) -> http.client.HTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": "seqrl"}
        if known and have:
            headers["Range"] = f"bytes={have}-"
            if known.validator:
                headers["If-Range"] = known.validator
        request = urllib.request.Request(self.url, headers=headers)
        try:
            response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            error.close()
            answer = f"the server answers {error.code} {error.reason}"
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self.partial.forget()
            elif error.code not in _PASSING_ANSWERS:
                raise _Failed(answer) from error
            raise _Interrupted(answer) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(_told(error)) from error
        return response

    def _describe(self, response: http.client.HTTPResponse) -> _Remote:
        """What this answer says of the whole file; an answer that cannot be the expected file is refused."""
        headers = response.headers
        whole = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        length = whole[3] if whole else headers.get("Content-Length")
        if length is not None and not length.isdigit():
            raise _Interrupted(f"the server states a length of {length!r}")
        size = self.size if length is None else int(length)
        if self.size is not None and size != self.size:
            raise _Interrupted(f"the server offers {size} bytes, not the expected {self.size}")
        # Without a length, chunks or a hash, a connection that is cut looks like the end of the file.
        if size is None and self.sha256 is None and not response.chunked:
            raise _Failed("the server does not say how long the file is")
        return _Remote(self.url, size, headers.get("ETag"), headers.get("Last-Modified"))

    def _resumed_at(self, response: http.client.HTTPResponse, known: _Remote | None, have: int, remote: _Remote) -> int:
        """The byte at which the body starts: where we stopped, or 0 where ranges are ignored or the file changed."""
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            return 0
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not continues or known is None or not known.matches(remote):
            self.partial.forget()
            raise _Interrupted("the server continued another file, or at another place")
        return have

    def _receive(self, response: http.client.HTTPResponse, start: int, size: int | None) -> None:
        with self.partial.path.open("r+b" if start else "wb") as file:
            file.seek(start)
            for block in _blocks(response):
                file.write(block)
                if self.progress:
                    self.progress(file.tell(), size)
                if time.monotonic() > self.deadline:
                    raise _Failed("it takes longer than allowed; the same command continues where it stopped")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in pieces; a network failure is told apart from one of the disk."""
    while True:
        try:
            block = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(_told(error)) from error
        if not block:
            return
        yield block


def _told(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(reason).__name__
