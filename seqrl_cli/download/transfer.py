"""Transfer one file from an HTTP server to a partial file, with retries."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from seqrl_cli.download.answer import Answer, read_answer
from seqrl_cli.download.connection import RangeError, open_url, reason
from seqrl_cli.download.limits import DownloadError, Limits, Pace, TransientDownloadError
from seqrl_cli.download.partial import Origin, Partial

ByteProgress = Callable[[int, int | None], None]

_CHUNK_BYTES = 1 << 18
_MAX_WAIT = 30.0


@dataclass(frozen=True)
class Transfer:
    """A transfer from one URL to a partial file.

    Attributes:
        url: ``http://…`` or ``https://…``.
        partial: the bytes received so far, which the transfer extends.
        size: expected bytes, if known.
        pinned: whether the file's hash is known; then bytes from any source may be continued, because the hash reveals
            a mixture.
        limits: the limits, which say when to give up.
        progress: called with (bytes so far, total bytes or None).
    """

    url: str
    partial: Partial
    size: int | None
    pinned: bool
    limits: Limits
    progress: ByteProgress | None

    def run(self) -> bool:
        """Try until the partial file is complete; returns whether earlier bytes were continued.

        An attempt is progress if the partial file becomes longer than ever, no slower than the least speed, waiting
        included. Otherwise a server that reports a wrong length or sends a byte per connection would be asked forever.

        Raises:
            DownloadError: the file cannot be fetched from this URL.
        """
        failures = 0
        most = self.partial.size()
        resumed = False
        begun = time.monotonic()
        while True:
            resumed = resumed or self._known() is not None
            try:
                self._attempt()
                return resumed
            except TransientDownloadError as error:
                gained = self.partial.size() - most
                is_progress = gained > 0 and gained >= self.limits.least_speed * (time.monotonic() - begun)
                failures = 1 if is_progress else failures + 1
                most = max(most, self.partial.size())
                begun = time.monotonic()
                wait = min(self.limits.backoff * 2 ** (failures - 1), _MAX_WAIT)
                if failures >= self.limits.attempts:
                    raise
                self.limits.check_wait(wait, error)
                time.sleep(wait)

    def _known(self) -> Origin | None:
        """Origin of the bytes received so far, if they can be continued from this URL."""
        known = self.partial.origin()
        if known is None or self.pinned:
            return known
        return known if known.url == self.url and known.validator else None

    def _attempt(self) -> None:
        """Extend the partial file; returns once it is complete."""
        known = self._known()
        have = self.partial.size() if known else 0
        if known and have == (self.size if known.size is None else known.size):
            return
        pace = Pace(self.limits)
        with self._open(known, have, pace) as response:
            answer = read_answer(response, self.url)
            self._check(answer, known, have)
            if answer.start == 0:
                self.partial.describe(answer.origin)
            pace.expect_body()
            self._receive(response, answer, pace)
        size = self._size(answer)
        if size is not None and self.partial.size() < size:
            raise TransientDownloadError(f"the connection ended after {self.partial.size()} of {size} bytes")

    def _open(self, known: Origin | None, have: int, pace: Pace) -> http.client.HTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": "seqrl"}
        if known and have:
            headers["Range"] = f"bytes={have}-"
            if known.validator and known.url == self.url:
                headers["If-Range"] = known.validator
        try:
            return open_url(self.url, headers, pace)
        except RangeError:
            self.partial.forget()
            raise

    def _size(self, answer: Answer) -> int | None:
        return self.size if answer.origin.size is None else answer.origin.size

    def _check(self, answer: Answer, known: Origin | None, have: int) -> None:
        """Check that an answer is about the expected file, and continues the bytes received so far if it is a part.

        Raises:
            DownloadError: the answer is about another file, or continues from another position.
        """
        size = self._size(answer)
        if self.size is not None and size != self.size:
            raise TransientDownloadError(f"the server offers {size} bytes, not the expected {self.size}")
        # Without a length, chunks or a hash, a lost connection looks like the end of the file.
        if size is None and not self.pinned and not answer.delimited:
            raise DownloadError("the server does not report the file's length")
        if answer.origin.size is None and answer.stop is not None:
            raise DownloadError("the server sends a part of the file, but does not report the file's length")
        if answer.is_part and not self._continues(known, have, answer):
            self.partial.forget()
            raise TransientDownloadError("the server continued another file, or from another position")

    def _continues(self, known: Origin | None, have: int, answer: Answer) -> bool:
        """Whether a part belongs behind the bytes received so far; the hash of a pinned file will tell."""
        if known is None or answer.start != have:
            return False
        return known.matches(answer.origin) if self.pinned else known.is_proven_by(answer.origin)

    def _receive(self, response: http.client.HTTPResponse, answer: Answer, pace: Pace) -> None:
        """Write the body to the partial file, and not one byte more than there should be."""
        size = self._size(answer)
        folder = self.partial.path.parent
        end = answer.stop or size
        if size is not None:
            self.limits.check_room(size - self.partial.size(), folder)
        most = self.limits.size_limit(answer.start, folder) if end is None else end
        with self.partial.open(answer.start) as file:
            for block in _blocks(response):
                room = most - file.tell()
                file.write(block[:room])
                pace.received(len(block))
                if self.progress:
                    self.progress(file.tell(), size)
                if len(block) > room:
                    break
            else:
                return
        self.partial.forget()
        stated = "" if end is not None else ", the most that is taken where no length is stated"
        raise DownloadError(f"the server sends more than {most:,} bytes{stated}")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in pieces; network failures become a TransientDownloadError, unlike failures of the disk."""
    while True:
        try:
            block = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransientDownloadError(reason(error)) from error
        if not block:
            return
        yield block
