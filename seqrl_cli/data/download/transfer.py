"""Transfer one file from an HTTP server to a partial file, with retries."""

from __future__ import annotations

import http
import http.client
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from seqrl_cli.data.download.partial import Partial, Remote

ByteProgress = Callable[[int, int | None], None]

_CHUNK_BYTES = 1 << 18
_MAX_WAIT = 30.0
_TOO_LONG = "it takes longer than allowed; the same command resumes where it stopped"
_TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(Exception):
    """The file cannot be fetched from this place; another attempt would not help."""


class TransientDownloadError(DownloadError):
    """This attempt failed, but another may succeed."""


@dataclass(frozen=True)
class RetryPolicy:
    """When to try again and when to give up.

    Attributes:
        timeout: seconds without data before an attempt fails.
        deadline: when to give up, on the monotonic clock.
        attempts: consecutive attempts without progress before giving up.
        backoff: seconds before the second attempt, doubled after each.
    """

    timeout: float
    deadline: float
    attempts: int
    backoff: float


@dataclass(frozen=True)
class Transfer:
    """A transfer from one URL to a partial file.

    Attributes:
        url: ``http://…`` or ``https://…``.
        partial: the bytes received so far, which the transfer extends.
        size: expected bytes, if known.
        pinned: the file's hash is known, so bytes from another server may be continued.
        retries: when to give up.
        progress: called with (bytes so far, total bytes or None).
    """

    url: str
    partial: Partial
    size: int | None
    pinned: bool
    retries: RetryPolicy
    progress: ByteProgress | None

    def run(self) -> bool:
        """Try until the partial file is complete; returns whether earlier bytes were continued.

        Only bytes beyond the longest length so far count as progress: otherwise a server that reports a wrong length
        would be asked forever, each time from the start.

        Raises:
            DownloadError: the file cannot be fetched from this URL.
        """
        failures = 0
        most = self.partial.size()
        resumed = False
        while True:
            resumed = resumed or self._known() is not None
            try:
                self._attempt()
                return resumed
            except TransientDownloadError as error:
                failures = 1 if self.partial.size() > most else failures + 1
                most = max(most, self.partial.size())
                wait = min(self.retries.backoff * 2 ** (failures - 1), _MAX_WAIT)
                if failures >= self.retries.attempts:
                    raise
                if time.monotonic() + wait > self.retries.deadline:
                    raise DownloadError(f"{_TOO_LONG}; the last attempt failed: {error}") from error
                time.sleep(wait)

    def _known(self) -> Remote | None:
        """Origin of the bytes received so far, if they can be continued from this URL."""
        known = self.partial.remote()
        return known if known and self.partial.size() and (known.url == self.url or self.pinned) else None

    def _attempt(self) -> None:
        """Extend the partial file; returns once it is complete."""
        known = self._known()
        have = self.partial.size() if known else 0
        if known and have == known.size:
            return
        with self._open(known, have) as response:
            remote = self._describe(response)
            start = self._resumed_at(response, known, have, remote)
            if start == 0:
                self.partial.describe(remote)
            self._receive(response, start, remote.size)
        if remote.size is not None and self.partial.size() < remote.size:
            raise TransientDownloadError(f"the connection ended after {self.partial.size()} of {remote.size} bytes")

    def _open(self, known: Remote | None, have: int) -> http.client.HTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": "seqrl"}
        if known and have:
            headers["Range"] = f"bytes={have}-"
            if known.validator and known.url == self.url:
                headers["If-Range"] = known.validator
        request = urllib.request.Request(self.url, headers=headers)
        left = max(self.retries.deadline - time.monotonic(), 0.001)
        try:
            response: http.client.HTTPResponse = urllib.request.build_opener(_Redirects).open(
                request, timeout=min(self.retries.timeout, left)
            )
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refused(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            unknown_host = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME
            if unknown_host:
                raise DownloadError(_reason(error)) from error
            raise TransientDownloadError(_reason(error)) from error
        return response

    def _refused(self, error: urllib.error.HTTPError) -> DownloadError:
        """The error for a response with an error status."""
        answer = f"the server answered {error.code} {' '.join(str(error.reason).split())}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.partial.forget()
            return TransientDownloadError(answer)
        return TransientDownloadError(answer) if error.code in _TRANSIENT_STATUSES else DownloadError(answer)

    def _describe(self, response: http.client.HTTPResponse) -> Remote:
        """What this response reports about the file; raises if it cannot be the expected one."""
        headers = response.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(
                f"the server sends it encoded as {headers['Content-Encoding']}, although it was asked not to"
            )
        whole = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        length = whole[3] if whole else headers.get("Content-Length")
        if length is not None and not length.isdecimal():
            raise TransientDownloadError(f"the server reports a length of {length!r}")
        size = self.size if length is None else int(length)
        if self.size is not None and size != self.size:
            raise TransientDownloadError(f"the server offers {size} bytes, not the expected {self.size}")
        # Without a length, chunks or a hash, a lost connection looks like the end of the file.
        if size is None and not self.pinned and not response.chunked:
            raise DownloadError("the server does not report the file's length")
        return Remote(self.url, size, headers.get("ETag"), headers.get("Last-Modified"))

    def _resumed_at(self, response: http.client.HTTPResponse, known: Remote | None, have: int, remote: Remote) -> int:
        """The byte at which the body starts: where we stopped, or 0 if the server sends the whole file."""
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            return 0
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not continues or known is None or not known.matches(remote):
            self.partial.forget()
            raise TransientDownloadError("the server continued another file, or from another position")
        return have

    def _receive(self, response: http.client.HTTPResponse, start: int, size: int | None) -> None:
        # Unbuffered, so that a killed process loses no received byte.
        with self.partial.path.open("r+b" if start else "wb", buffering=0) as file:
            file.seek(start)
            for block in _blocks(response):
                file.write(block)
                if self.progress:
                    self.progress(file.tell(), size)
                if time.monotonic() > self.retries.deadline:
                    raise DownloadError(_TOO_LONG)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to any host, but not from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https:"):
            fp.close()
            raise urllib.error.HTTPError(newurl, code, f"and redirects from https to {newurl}", headers, None)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in pieces; network failures become a TransientDownloadError, unlike failures of the disk."""
    while True:
        try:
            block = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise TransientDownloadError(_reason(error)) from error
        if not block:
            return
        yield block


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
