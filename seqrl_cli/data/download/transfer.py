"""One file on its way from an HTTP server to a partial file, attempt by attempt."""

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
_LONGEST_WAIT = 30.0
_TOO_LONG = "it takes longer than allowed, and the same command continues where it stopped"
_PASSING_ANSWERS = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(Exception):
    """The file cannot be had from there; trying again would not help."""


class TransientDownloadError(DownloadError):
    """This attempt failed in a way that the next may not."""


@dataclass(frozen=True)
class RetryPolicy:
    """When to give up.

    Attributes:
        timeout: seconds without a byte before an attempt is given up.
        deadline: when to stop altogether, on the monotonic clock.
        attempts: attempts in a row that bring nothing; one that brings bytes starts a new count.
        backoff: seconds before the second attempt, doubled after each.
    """

    timeout: float
    deadline: float
    attempts: int
    backoff: float


@dataclass(frozen=True)
class Transfer:
    """From one URL to a partial file.

    Attributes:
        url: ``http://…`` or ``https://…``.
        partial: what is here already and what is added.
        size: expected bytes, if known.
        pinned: the hash of the whole is known, so bytes of another server may be continued.
        retries: when to give up.
        progress: called with (bytes so far, bytes in all or None).
    """

    url: str
    partial: Partial
    size: int | None
    pinned: bool
    retries: RetryPolicy
    progress: ByteProgress | None

    def run(self) -> bool:
        """Attempt until the partial file is complete; returns whether bytes from before were continued.

        Only bytes beyond the most there ever were count as progress: a server that lies about the length would else
        be asked forever, from the start each time.

        Raises:
            DownloadError: the file cannot be had from there.
        """
        failures, most, resumed = 0, self.partial.size(), False
        while True:
            resumed |= self._known() is not None
            try:
                self._attempt()
                return resumed
            except TransientDownloadError as error:
                failures = 1 if self.partial.size() > most else failures + 1
                most = max(most, self.partial.size())
                wait = min(self.retries.backoff * 2 ** (failures - 1), _LONGEST_WAIT)
                if failures >= self.retries.attempts:
                    raise
                if time.monotonic() + wait > self.retries.deadline:
                    raise DownloadError(f"{_TOO_LONG}; at last, {error}") from error
                time.sleep(wait)

    def _known(self) -> Remote | None:
        """What the bytes that are here belong to, if they can be continued from this URL."""
        known = self.partial.remote()
        return known if known and self.partial.size() and (known.url == self.url or self.pinned) else None

    def _attempt(self) -> None:
        """Bring the partial file closer to complete; returns when it is."""
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
            raise (DownloadError if unknown_host else TransientDownloadError)(_told(error)) from error
        return response

    def _refused(self, error: urllib.error.HTTPError) -> DownloadError:
        """What an answer that is no file means."""
        answer = f"the server answers {error.code} {' '.join(str(error.reason).split())}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.partial.forget()
            return TransientDownloadError(answer)
        return TransientDownloadError(answer) if error.code in _PASSING_ANSWERS else DownloadError(answer)

    def _describe(self, response: http.client.HTTPResponse) -> Remote:
        """What this answer says of the whole file; an answer that cannot be the expected file is refused."""
        headers = response.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(
                f"the server sends it encoded as {headers['Content-Encoding']}, though it was asked not to"
            )
        whole = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        length = whole[3] if whole else headers.get("Content-Length")
        if length is not None and not length.isdecimal():
            raise TransientDownloadError(f"the server states a length of {length!r}")
        size = self.size if length is None else int(length)
        if self.size is not None and size != self.size:
            raise TransientDownloadError(f"the server offers {size} bytes, not the expected {self.size}")
        # Without a length, chunks or a hash, a connection that is cut looks like the end of the file.
        if size is None and not self.pinned and not response.chunked:
            raise DownloadError("the server does not say how long the file is")
        return Remote(self.url, size, headers.get("ETag"), headers.get("Last-Modified"))

    def _resumed_at(self, response: http.client.HTTPResponse, known: Remote | None, have: int, remote: Remote) -> int:
        """The byte at which the body starts: where we stopped, or 0 where ranges are ignored or the file changed."""
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            return 0
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not continues or known is None or not known.matches(remote):
            self.partial.forget()
            raise TransientDownloadError("the server continued another file, or at another place")
        return have

    def _receive(self, response: http.client.HTTPResponse, start: int, size: int | None) -> None:
        # Unbuffered, so that a process that is killed keeps every byte that it was given.
        with self.partial.path.open("r+b" if start else "wb", buffering=0) as file:
            file.seek(start)
            for block in _blocks(response):
                file.write(block)
                if self.progress:
                    self.progress(file.tell(), size)
                if time.monotonic() > self.retries.deadline:
                    raise DownloadError(_TOO_LONG)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to any host, but not from an encrypted connection to a plain one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https:"):
            fp.close()
            raise urllib.error.HTTPError(newurl, code, f"and leads from https to {newurl}", headers, None)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in pieces; a network failure is told apart from one of the disk."""
    while True:
        try:
            block = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise TransientDownloadError(_told(error)) from error
        if not block:
            return
        yield block


def _told(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
