"""Downloads from a real local server that misbehaves on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.data.download import fetch, file_sha256
from seqrl_cli.errors import SeqrlError

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
    """

    status: int = 200
    cut: int | None = None
    ranges: bool = True
    declared: int | None = None
    chunked: bool = False
    stall: bool = False
    shift: int = 0


@dataclass
class Server:
    """A file server whose manners for the coming requests can be queued; afterwards it behaves."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    manners: list[Manner] = field(default_factory=list)
    ranges_asked: list[str | None] = field(default_factory=list)
    bytes_sent: int = 0
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


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state)) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/data.hdf5"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        state.released.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "folder" / "dataset.h5"


def get(server: Server, target: Path, **options) -> str:
    return fetch(server.url, target, **{"backoff": 0.0, "attempts": 3, "timeout": 5.0, **options})


def refuse(server: Server, target: Path, match: str, **options) -> None:
    with pytest.raises(SeqrlError, match=match) as error:
        get(server, target, hint="try sim/hopper-medium", **options)
    assert server.url in error.value.message
    assert error.value.hint == "try sim/hopper-medium"
    assert not target.exists()


def test_whole_file(server, target):
    seen = []
    assert get(server, target, progress=lambda done, total: seen.append((done, total))) == DIGEST
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.iterdir() if not path.name.startswith(".")] == [target.name]


def test_file_that_is_there_is_not_fetched_again(server, target):
    get(server, target)
    assert get(server, target) == DIGEST
    assert get(server, target, sha256=DIGEST, size=len(CONTENT)) == DIGEST
    assert len(server.ranges_asked) == 1


def test_wrong_file_that_is_there_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(b"something else")
    assert get(server, target, sha256=DIGEST) == DIGEST
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("chunked", [False, True])
def test_cut_connections_are_resumed(server, target, chunked):
    server.manners = [Manner(cut=50_000, chunked=chunked), Manner(cut=0), Manner(cut=70_000), Manner()]
    assert get(server, target) == DIGEST
    assert server.ranges_asked == [None, "bytes=50000-", "bytes=50000-", "bytes=120000-"]
    assert server.bytes_sent == len(CONTENT)


def test_random_cuts_never_fetch_a_byte_twice(server, tmp_path):
    rng = np.random.default_rng(0)
    for trial in range(20):
        server.manners = [Manner(cut=int(rng.integers(0, 90_000))) for _ in range(rng.integers(0, 6))]
        server.bytes_sent = 0
        assert get(server, tmp_path / str(trial), attempts=10) == DIGEST
        assert server.bytes_sent == len(CONTENT)


def test_another_call_continues(server, target):
    server.manners = [Manner(cut=60_000)] + [Manner(status=503)] * 3
    refuse(server, target, "the server answers 503")
    assert get(server, target) == DIGEST
    assert server.ranges_asked[-1] == "bytes=60000-"


def test_server_that_ignores_ranges_restarts(server, target):
    server.manners = [Manner(cut=60_000), Manner(ranges=False)]
    assert get(server, target) == DIGEST
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"two"', None])
def test_changed_file_restarts(server, target, etag):
    server.manners = [Manner(cut=60_000)] + [Manner(status=503)] * 3
    refuse(server, target, "503")
    server.content, server.etag = CONTENT[::-1] + b"more", etag
    get(server, target)
    assert target.read_bytes() == server.content


def test_changed_file_without_an_etag_restarts_by_its_length(server, target):
    server.etag = None
    server.manners = [Manner(cut=60_000)] + [Manner(status=503)] * 3
    refuse(server, target, "503")
    server.content = CONTENT[::-1] + b"more"
    get(server, target)
    assert target.read_bytes() == server.content


def test_resuming_at_another_place_restarts(server, target):
    server.manners = [Manner(cut=60_000), Manner(shift=10)]
    assert get(server, target) == DIGEST
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("notes", ["", "[]", "{}", '{"url": "elsewhere", "size": 9, "etag": null, "modified": null}'])
def test_partial_file_of_unknown_origin_is_not_continued(server, target, notes):
    target.parent.mkdir()
    target.with_name("dataset.h5.part").write_bytes(b"junk")
    target.with_name("dataset.h5.part.json").write_text(notes)
    assert get(server, target) == DIGEST
    assert server.ranges_asked == [None]


def test_partial_file_longer_than_the_file_is_not_continued(server, target):
    target.parent.mkdir()
    target.with_name("dataset.h5.part").write_bytes(CONTENT + b"junk")
    notes = {"url": server.url, "size": len(CONTENT), "etag": server.etag, "modified": None}
    target.with_name("dataset.h5.part.json").write_text(json.dumps(notes))
    assert get(server, target) == DIGEST
    assert target.read_bytes() == CONTENT


def test_passing_errors_are_retried(server, target):
    server.manners = [Manner(status=503), Manner(status=429)]
    assert get(server, target) == DIGEST


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_lasting_errors_are_not_retried(server, target, status):
    server.manners = [Manner(status=status)]
    refuse(server, target, f"the server answers {status}")
    assert len(server.ranges_asked) == 1


def test_gives_up_after_attempts_without_a_byte(server, target):
    server.manners = [Manner(status=503)] * 9
    refuse(server, target, "503", attempts=4)
    assert len(server.ranges_asked) == 4


def test_declared_length_beyond_the_file_is_never_accepted(server, target):
    server.manners = [Manner(declared=len(CONTENT) + 1)] * 99
    refuse(server, target, "the connection ended after 200000 of 200001 bytes")


def test_unexpected_size_is_refused_before_it_is_fetched(server, target):
    refuse(server, target, "offers 200000 bytes, not the expected 7", size=7)


def test_wrong_hash_is_refused_and_forgotten(server, target):
    refuse(server, target, f"its SHA-256 is {DIGEST}, not the expected 00", sha256="00")
    assert not target.with_name("dataset.h5.part").exists()


def test_length_must_be_known_somehow(server, target):
    server.manners = [Manner(declared=0)]
    refuse(server, target, "does not say how long")
    server.manners = [Manner(declared=0, cut=1000)]
    refuse(server, target, "not the expected", sha256=DIGEST)
    server.manners = [Manner(declared=0)]
    assert get(server, target, sha256=DIGEST) == DIGEST


def test_stalled_connection_is_left_and_resumed(server, target):
    server.manners = [Manner(cut=60_000, stall=True)]
    assert get(server, target, timeout=0.2) == DIGEST
    assert server.ranges_asked == [None, "bytes=60000-"]


def test_total_time_limit(server, target):
    refuse(server, target, "longer than allowed", total_timeout=-1.0)
    assert get(server, target) == DIGEST


def test_one_download_at_a_time(server, target):
    digests = []
    threads = [threading.Thread(target=lambda: digests.append(get(server, target))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [DIGEST] * 4
    assert len(server.ranges_asked) == 1


def test_nobody_answers(target):
    with pytest.raises(SeqrlError, match="cannot fetch http://127.0.0.1:9/x: .*refused") as error:
        fetch("http://127.0.0.1:9/x", target, attempts=2, backoff=0.0, hint="use sim/…")
    assert error.value.hint == "use sim/…"


@pytest.mark.parametrize("as_url", [True, False])
def test_local_source(tmp_path, target, as_url):
    source = tmp_path / "a file.h5"
    source.write_bytes(CONTENT)
    url = source.as_uri() if as_url else str(source)
    assert fetch(url, target, sha256=DIGEST, size=len(CONTENT)) == file_sha256(target) == DIGEST
    assert target.read_bytes() == CONTENT
    with pytest.raises(SeqrlError, match="not the expected"):
        fetch(url, tmp_path / "other.h5", sha256="00")
    assert not (tmp_path / "other.h5").exists()


@pytest.mark.parametrize("url", ["ftp://host/x", "/no/such/file", "file:///no/such/file"])
def test_sources_that_cannot_be(target, url):
    with pytest.raises(SeqrlError, match="cannot fetch"):
        fetch(url, target)
