"""A server of raw bytes: each connection is answered by a function, which may say anything at any speed."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Request = dict[str, str]
Answer = Callable[[socket.socket, Request], None]


@dataclass
class RawServer:
    """Answers connections in turn; the last answer is repeated.

    Attributes:
        answers: one for each connection.
        url: of the file.
        requests: headers of the requests so far, names in lower case; ``""`` is the request line.
    """

    answers: Sequence[Answer]
    url: str = ""
    requests: list[Request] = field(default_factory=list)

    def answer(self, connection: socket.socket) -> None:
        request = read_request(connection)
        if request:
            number = len(self.requests)
            self.requests.append(request)
            self.answers[min(number, len(self.answers) - 1)](connection, request)


def read_request(connection: socket.socket) -> Request:
    """The request's headers; empty if none came."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(65536)
        if not block:
            return {}
        received += block
    first, *lines = received.decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")
    return {"": first} | {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@contextmanager
def raw_server(*answers: Answer, context: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """A server in a thread of its own, with TLS if there is a context."""
    server = RawServer(answers)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with suppress(OSError):  # the client has gone, or distrusts the certificate
                connection = context.wrap_socket(self.request, server_side=True) if context else self.request
                connection.settimeout(10)
                server.answer(connection)
                connection.close()

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 32

    with Threads(("127.0.0.1", 0), Handler) as sockets:
        server.url = f"{'https' if context else 'http'}://127.0.0.1:{sockets.server_address[1]}/data.hdf5"
        thread = threading.Thread(target=sockets.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            sockets.shutdown()
            thread.join()


def reply(*headers: str, body: bytes = b"", status: str = "200 OK") -> Answer:
    """An answer with these headers and this body, after which the connection is closed."""
    return send(("\r\n".join([f"HTTP/1.1 {status}", *headers]) + "\r\n\r\n").encode("latin-1") + body)


def send(data: bytes) -> Answer:
    """These bytes, after which the connection is closed."""
    return lambda connection, request: connection.sendall(data)


def repeat(data: bytes, again: bytes, seconds: float = 0.0) -> Answer:
    """First ``data``, then ``again`` and again, with a pause of ``seconds`` between."""

    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(data)
        while True:
            time.sleep(seconds)
            connection.sendall(again)

    return answer


def serve(
    content: bytes, *headers: str, cut: int | None = None, ranges: bool = True, heeds_condition: bool = True
) -> Answer:
    """A file as servers send it, by ranges where they are asked for.

    Args:
        content: the file.
        *headers: for example an ETag and a date.
        cut: close the connection after so many bytes of the body.
        ranges: heed the Range header.
        heeds_condition: heed If-Range, which must be the value of one of ``headers``.
    """

    def answer(connection: socket.socket, request: Request) -> None:
        condition = request.get("if-range")
        heeded = ranges and "range" in request
        if heeds_condition and condition and condition not in {line.partition(": ")[2] for line in headers}:
            heeded = False
        start = int(request["range"].removeprefix("bytes=").removesuffix("-")) if heeded else 0
        status = "206 Partial Content" if heeded else "200 OK"
        if heeded and start >= len(content):
            return reply("Content-Length: 0", status="416 Range Not Satisfiable")(connection, request)
        place = [f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"] if heeded else []
        body = content[start:]
        return reply(f"Content-Length: {len(body)}", *place, *headers, body=body[:cut], status=status)(
            connection, request
        )

    return answer
