"""What a server's answer says about a file: which of its bytes follow, and how the file is told from others."""

from __future__ import annotations

import http
import http.client
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from seqrl_cli.download.limits import DownloadError, TransientDownloadError, brief
from seqrl_cli.download.partial import Origin

_DIGITS = "[0-9]{1,18}"


@dataclass(frozen=True)
class Answer:
    """A response whose headers make sense.

    Attributes:
        origin: the file as a whole.
        start: the byte at which the body starts; 0 for the whole file.
        stop: the byte before which it ends; None if the server does not say.
        is_part: the server answered with a range of the file.
        delimited: a lost connection does not look like the end of the body.
    """

    origin: Origin
    start: int
    stop: int | None
    is_part: bool
    delimited: bool


def read_answer(response: http.client.HTTPResponse, url: str) -> Answer:
    """Read the headers of a response to a request for ``url``.

    Raises:
        TransientDownloadError: they contradict themselves or the request.
        DownloadError: the server cannot or will not send the file as it is.
    """
    headers = response.headers
    _check_coding(headers)
    length = _length(headers)
    is_part = response.status == http.HTTPStatus.PARTIAL_CONTENT
    if response.status == http.HTTPStatus.OK:
        start, stop, size = 0, length, length
    elif is_part:
        start, stop, size = _content_range(headers.get("Content-Range", ""))
    else:
        raise DownloadError(f"the server answered {response.status} {brief(response.reason)}")
    place = urlsplit(response.geturl())
    origin = Origin(
        url,
        size,
        headers.get("ETag"),
        headers.get("Last-Modified"),
        date=headers.get("Date"),
        resource=f"{place.scheme}://{place.netloc}{place.path}",
    )
    delimited = length is not None or bool(response.chunked)
    return Answer(origin, start, stop, is_part, delimited)


def _check_coding(headers: http.client.HTTPMessage) -> None:
    """Refuse a body that would have to be decoded; raises DownloadError."""
    for name, plain in (("Content-Encoding", {"", "identity"}), ("Transfer-Encoding", {"", "identity", "chunked"})):
        codings = [coding.strip().lower() for value in headers.get_all(name, []) for coding in value.split(",")]
        if not plain.issuperset(codings) or codings.count("chunked") > 1:
            found = brief(", ".join(headers.get_all(name, [])))
            raise DownloadError(f"the server sends it encoded as {found}, although it was asked not to")


def _length(headers: http.client.HTTPMessage) -> int | None:
    """The length of the body; None if it is not stated."""
    stated = {value.strip() for value in headers.get_all("Content-Length", [])}
    if not stated:
        return None
    value = stated.pop()
    if stated or not re.fullmatch(_DIGITS, value):
        others = " and others" if stated else ""
        raise TransientDownloadError(f"the server reports a length of {brief(value)!r}{others}")
    return int(value)


def _content_range(value: str) -> tuple[int, int, int | None]:
    """Start, end and size of the file's bytes that follow; the size is None if the server does not know it."""
    found = re.fullmatch(rf"bytes ({_DIGITS})-({_DIGITS})/({_DIGITS}|\*)", value.strip())
    if found:
        start, stop = int(found[1]), int(found[2]) + 1
        size = None if found[3] == "*" else int(found[3])
        if start < stop and (size is None or stop <= size):
            return start, stop, size
    raise TransientDownloadError("the server sends a part of the file, but does not say which")
