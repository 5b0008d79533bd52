"""Open an HTTP URL: redirects within http and https, and a limit on the time that headers and body may take."""

from __future__ import annotations

import http
import http.client
import io
import socket
import ssl
import urllib.error
import urllib.request
from typing import IO, Any
from urllib.parse import urlsplit

from seqrl_cli.download.limits import DownloadError, Pace, TransientDownloadError, brief

_TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}


class StatusError(DownloadError):
    """The server answered with an error status, which another attempt would not change."""


class RangeError(TransientDownloadError):
    """The server does not have the range that was asked for."""


def open_url(url: str, headers: dict[str, str], pace: Pace) -> http.client.HTTPResponse:
    """Ask for a URL and follow redirects.

    Uses the system's proxies. No other scheme than http and https is opened, whatever a server says.

    Args:
        url: ``http://…`` or ``https://…``.
        headers: the request's headers.
        pace: limits the time of the headers and, later, of the body.

    Raises:
        TransientDownloadError: another attempt may succeed; a :class:`RangeError` if the range is the reason.
        DownloadError: it would not.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
        _Http(pace),
        _Https(pace),
    ):
        opener.add_handler(handler)
    try:
        request = urllib.request.Request(url, headers=headers)
        response: http.client.HTTPResponse = opener.open(request, timeout=pace.read_timeout())
    except DownloadError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(error) from error
    except (OSError, OverflowError, ValueError, http.client.HTTPException) as error:
        raise (DownloadError if _is_lasting(error) else TransientDownloadError)(reason(error)) from error
    return response


def reason(error: Exception) -> str:
    """What went wrong, in as few words as the error has."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return brief(getattr(cause, "strerror", None) or str(cause)) or type(cause).__name__


def _refused(error: urllib.error.HTTPError) -> DownloadError:
    """The error for a response with an error status."""
    answer = f"the server answered {error.code} {brief(str(error.reason))}"
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return RangeError(answer)
    return TransientDownloadError(answer) if error.code in _TRANSIENT_STATUSES else StatusError(answer)


def _is_lasting(error: Exception) -> bool:
    """Whether a failure to connect would recur: no such host, a certificate that nobody vouches for, no proper URL."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_NONAME
    return isinstance(cause, ssl.SSLCertVerificationError | OverflowError | ValueError | http.client.InvalidURL)


class _PacedReader(io.RawIOBase):
    """Reads from a socket, each time no longer than the pace allows."""

    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        self._connection = connection
        self._raw = connection.makefile("rb", buffering=0)
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._pace.read_timeout())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _paced(connection: http.client.HTTPConnection, pace: Pace) -> http.client.HTTPConnection:
    """The connection, with responses that keep the pace, a proxy's included."""

    def respond(sock: socket.socket, *arguments: Any, **options: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *arguments, **options)
        buffered = response.fp
        response.fp = io.BufferedReader(_PacedReader(sock, pace))
        buffered.close()
        pace.expect_headers()
        return response

    connection.response_class = respond  # type: ignore[assignment]
    return connection


class _Http(urllib.request.HTTPHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req)

    def _connect(self, host: str, **options: Any) -> http.client.HTTPConnection:
        return _paced(http.client.HTTPConnection(host, **options), self._pace)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req)

    def _connect(self, host: str, **options: Any) -> http.client.HTTPConnection:
        return _paced(http.client.HTTPSConnection(host, **options), self._pace)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to any host, but neither from https to http nor to another scheme or with a password."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        fp.close()  # without its body, which would be read to the end, and may have none
        parts = urlsplit(newurl)
        if parts.scheme not in ("http", "https") or (req.type == "https" and parts.scheme != "https"):
            raise DownloadError(f"the server answered {code} and redirects from {req.type} to {brief(newurl)}")
        if "@" in parts.netloc:
            raise DownloadError(f"the server answered {code} and redirects to a URL with a password or user name")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
