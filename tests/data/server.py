"""A real local file server that misbehaves on request."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

CONTENT = np.random.default_rng(0).bytes(200_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Manner:
    """How the server answers one request.

    Attributes:
        status: answer with this error instead of the file.
        cut: send only so many bytes of the body, then close the connection.
        ranges: honour the Range header.
        declared: a Content-Length other than the true one; 0 leaves it out.
        chunked: send the body in chunks, without a length.
        stall: stop after ``cut`` bytes without closing.
        shift: resume at another place than asked, and say so.
        garbage: send other bytes, as many as the file has.
        redirect: answer with a redirect to there.
    """

    status: int = 200
    cut: int | None = None
    ranges: bool = True
    declared: int | None = None
    chunked: bool = False
    stall: bool = False
    shift: int = 0
    garbage: bool = False
    redirect: str | None = None


@dataclass
class Server:
    """A file server whose manners for the coming requests can be queued; afterwards it behaves."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    manners: list[Manner] = field(default_factory=list)
    ranges_asked: list[str | None] = field(default_factory=list)
    bytes_sent: int = 0
    good_bytes: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            manner = server.manners.pop(0) if server.manners else Manner()
            asked = self.headers.get("Range")
            server.ranges_asked.append(asked)
            self.close_connection = True
            if manner.redirect:
                self.send_response(302)
                self.send_header("Location", manner.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if manner.status != 200:
                self.send_error(manner.status)
                return
            start = self.first_byte(asked) if manner.ranges else 0
            if start > 0 and start >= len(server.content):
                self.send_error(416)
                return
            self.send_file(manner, max(start - manner.shift, 0))

        def first_byte(self, asked: str | None) -> int:
            condition = self.headers.get("If-Range")
            if asked is None or (condition is not None and condition != server.etag):
                return 0
            return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])

        def send_file(self, manner: Manner, start: int):
            body = server.content[start:]
            if manner.garbage:
                body = bytes(byte ^ 0x55 for byte in body)
            self.send_response(206 if start else 200)
            if start:
                total = len(server.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if server.etag:
                self.send_header("ETag", server.etag)
            if manner.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif manner.declared != 0:
                self.send_header("Content-Length", str(manner.declared or len(body)))
            self.end_headers()
            sent = body[: manner.cut]
            server.bytes_sent += len(sent)
            # An answer that states a wrong length for the whole file is not read; of a part, as much as is stated.
            if not manner.garbage and (start or not manner.declared):
                server.good_bytes += min(len(sent), manner.declared or len(sent))
            if manner.chunked:
                self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
                self.wfile.write(b"" if manner.cut is not None else b"0\r\n\r\n")
            else:
                self.wfile.write(sent)
            self.wfile.flush()
            if manner.stall:
                server.released.wait(10)

        def log_message(self, *arguments):
            pass

    return Handler


@contextmanager
def serving(content: bytes = CONTENT) -> Iterator[Server]:
    """A server in a thread of its own."""
    state = Server(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state)) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/data.hdf5"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.released.set()
            http.shutdown()
            thread.join()
