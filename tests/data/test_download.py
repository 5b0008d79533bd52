"""Downloads from a real local server that misbehaves on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.download.fetch import fetch
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hashes import file_sha256
from tests.data.server import CONTENT, DIGEST, Manner, Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


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
    refuse(server, target, "the server answered 503")
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
    refuse(server, target, f"the server answered {status}")
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
    refuse(server, target, "does not report the file")
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
