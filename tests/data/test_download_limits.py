"""What a server may not take: the disk, the time, or the bytes of another file for those of this one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from seqrl_cli.download.fetch import fetch
from seqrl_cli.errors import SeqrlError
from tests.data.certificate import HAS_OPENSSL, server_context
from tests.data.raw_server import raw_server, repeat, reply, send, serve

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 400
OTHER = CONTENT[::-1]
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)
OLD = "Last-Modified: Mon, 02 Mar 2020 10:00:00 GMT"
DATE = "Date: Mon, 02 Mar 2020 {} GMT"


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "folder" / "data.hdf5"


def get(url: str, target: Path, **options) -> str:
    limits = {"timeout": 0.3, "speed_seconds": 0.3, "attempts": 2, "backoff": 0.0, "ceiling": 1_000_000}
    return fetch(url, target, **limits | options)


def refusal(url: str, target: Path, **options) -> str:
    """The message of a download that fails, and leaves no file and no more bytes than it was allowed."""
    begun = time.monotonic()
    with pytest.raises(SeqrlError) as error:
        get(url, target, **options)
    assert not target.exists() and time.monotonic() - begun < 5
    assert sum(path.stat().st_size for path in target.parent.iterdir()) <= options.get("ceiling", 1_000_000)
    return error.value.message


ENDLESS = {
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "without a length": b"HTTP/1.1 200 OK\r\n\r\n",
}
CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("known", [{"size": SIZE, "sha256": DIGEST}, {"size": SIZE}, {"sha256": DIGEST}])
def test_an_endless_body_stops_at_the_size_or_the_ceiling(target, kind, known):
    if kind == "without a length" and "sha256" not in known:
        known = known | {"sha256": DIGEST}
    seen = []
    with raw_server(repeat(ENDLESS[kind], CHUNK)) as server:
        message = refusal(server.url, target, progress=lambda done, total: seen.append(done), **known)
    assert "the server sends more than " in message
    assert max(seen) <= known.get("size", 1_000_000)
    assert not list(target.parent.glob("*.part*"))


def test_a_body_of_unknown_length_leaves_room_on_the_disk(target, monkeypatch):
    usage = shutil.disk_usage(Path.cwd())._replace(total=1_000_000, free=350_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with raw_server(repeat(ENDLESS["in chunks"], CHUNK)) as server:
        assert "more than 250,000 bytes" in refusal(server.url, target)
    with raw_server(reply("Content-Length: 400000", body=bytes(400_000))) as server:
        assert "only 350.0 kB is free" in refusal(server.url, target)


@pytest.mark.parametrize("pause", [0.01, 0.1])
def test_a_drip_is_given_up(target, pause):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode()
    with raw_server(repeat(head, b"x", pause)) as server:
        assert "bytes per second" in refusal(server.url, target, size=SIZE, sha256=DIGEST)
        assert len(server.requests) == 2


def test_a_byte_per_connection_is_no_progress(target):
    with raw_server(serve(CONTENT, 'ETag: "a"', cut=1)) as server:
        assert "the connection ended after" in refusal(server.url, target, backoff=0.01, attempts=4)
        assert len(server.requests) <= 6


def test_slow_but_steady_is_fast_enough(target):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode()
    with raw_server(repeat(head, CONTENT[: SIZE // 16], 0.02)) as server:
        get(server.url, target, speed_seconds=0.05)
    assert target.stat().st_size == SIZE


HEADERS = {
    "one line": (b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.01),
    "many lines": (b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", 0.05),
    "many answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.0),
    "no answer": (b"", b"", 0.1),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_have_to_end(target, kind):
    with raw_server(repeat(*HEADERS[kind])) as server:
        message = refusal(server.url, target, attempts=1)
    assert "headers did not end" in message or "timed out" in message


def test_the_deadline_holds_while_headers_come(target):
    with raw_server(repeat(*HEADERS["many lines"])) as server:
        assert "longer than allowed" in refusal(server.url, target, timeout=9.0, total_timeout=0.3)


def test_the_body_of_a_redirect_is_not_read(target):
    with raw_server(serve(CONTENT)) as right:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {right.url}\r\n\r\n".encode()
        with raw_server(repeat(redirect, b"x" * 65536)) as server:
            assert get(server.url, target) == DIGEST


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://host/x", "data:,x", "http://me:secret@127.0.0.1/x"])
def test_redirects_stay_on_the_web_and_carry_no_password(target, place):
    with raw_server(reply(f"Location: {place}", "Content-Length: 0", status="302 Found")) as server:
        assert "redirect" in refusal(server.url, target).lower()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "header",
    [
        "Content-Length: " + "9" * 5000,
        "Content-Length: -5",
        f"Content-Length: {SIZE}\r\nContent-Length: 7",
        "Content-Range: bytes 0-9/" + "9" * 5000,
        f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}",
        "Content-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "",
    ],
)
def test_headers_that_make_no_sense_are_refused(target, header):
    status = "206 Partial Content" if "Range" in header else "200 OK"
    with raw_server(reply(header, body=CONTENT, status=status)) as server:
        message = refusal(server.url, target)
    assert "the server" in message and len(message) < 400


@pytest.mark.parametrize("coding", ["Identity", "IDENTITY", "identity", ""])
def test_identity_is_no_coding(target, coding):
    with raw_server(serve(CONTENT, f"Content-Encoding: {coding}")) as server:
        assert get(server.url, target) == DIGEST


VALIDATORS = {
    "an ETag": ['ETag: "one"'],
    "an old date": [OLD, DATE.format("10:05:00")],
    "a weak ETag and an old date": ['ETag: W/"one"', OLD, DATE.format("10:05:00")],
}
NO_VALIDATORS = {
    "nothing": [],
    "a weak ETag": ['ETag: W/"one"'],
    "an ETag without quotes": ["ETag: one"],
    "a date of this minute": [OLD, DATE.format("10:00:20")],
    "a date of the future": [OLD, DATE.format("09:00:00")],
    "a date, but no clock": [OLD],
    "no proper date": ["Last-Modified: yesterday", DATE.format("10:05:00")],
}


@pytest.mark.parametrize("kind", VALIDATORS)
def test_a_validator_lets_a_download_resume(target, kind):
    headers = VALIDATORS[kind]
    with raw_server(serve(CONTENT, *headers, cut=70_000), serve(CONTENT, *headers)) as server:
        assert get(server.url, target) == DIGEST
    assert server.requests[1]["range"] == "bytes=70000-" and "if-range" in server.requests[1]


@pytest.mark.parametrize("kind", NO_VALIDATORS)
def test_without_validator_and_hash_a_download_starts_over(target, kind):
    headers = NO_VALIDATORS[kind]
    with raw_server(serve(CONTENT, *headers, cut=70_000), serve(OTHER, *headers)) as server:
        get(server.url, target)
    assert target.read_bytes() == OTHER
    assert "range" not in server.requests[1]


@pytest.mark.parametrize("kind", {**VALIDATORS, **NO_VALIDATORS})
def test_the_hash_lets_any_download_resume(target, kind):
    headers = {**VALIDATORS, **NO_VALIDATORS}[kind]
    with raw_server(serve(CONTENT, *headers, cut=70_000), serve(CONTENT, *headers)) as server:
        assert get(server.url, target, sha256=DIGEST) == DIGEST
    assert server.requests[1]["range"] == "bytes=70000-"


@pytest.mark.parametrize("later", [['ETag: "two"'], ['ETag: W/"one"'], [OLD], []])
def test_a_part_without_the_validator_is_not_joined(target, later):
    """The server sends a range, although If-Range asks for the whole of a changed file."""
    wrong = serve(OTHER, *later, heeds_condition=False)
    with raw_server(serve(CONTENT, 'ETag: "one"', cut=70_000), wrong) as server:
        get(server.url, target, attempts=3)
    assert target.read_bytes() == OTHER


def test_a_redirect_to_another_file_is_not_joined(target):
    with raw_server(serve(CONTENT, 'ETag: "1"', cut=70_000)) as one, raw_server(serve(OTHER, 'ETag: "1"')) as two:
        to_one, to_two = (
            reply(f"Location: {server.url}", "Content-Length: 0", status="302 Found") for server in (one, two)
        )
        with raw_server(to_one, to_two) as server:
            get(server.url, target, attempts=3)
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize("notes", ["[" * 100_000, '{"url": 5}', '{"url": "x", "size": [], "etag": 1}', "pipe", "link"])
def test_notes_that_make_no_sense_are_passed_over(target, notes):
    target.parent.mkdir()
    target.with_name("data.hdf5.part").write_bytes(OTHER[:70_000])
    path = target.with_name("data.hdf5.part.json")
    if notes == "pipe":
        os.mkfifo(path)
    elif notes == "link":
        path.symlink_to("/dev/zero")
    else:
        path.write_text(notes)
    with raw_server(serve(CONTENT)) as server:
        assert get(server.url, target) == DIGEST


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "link to a device", "pipe"])
@pytest.mark.parametrize("resumed", [False, True])
def test_nothing_is_written_through_a_partial_file_of_another_kind(target, tmp_path, kind, resumed):
    target.parent.mkdir()
    mine, part = tmp_path / "mine", target.with_name("data.hdf5.part")
    mine.write_bytes(CONTENT[:70_000])
    if kind == "symbolic link":
        part.symlink_to(mine)
    elif kind == "hard link":
        part.hardlink_to(mine)
    elif kind == "link to a device":
        part.symlink_to("/dev/full")
    else:
        os.mkfifo(part)
    with raw_server(serve(CONTENT)) as server:
        if resumed:
            notes = {"url": server.url, "size": SIZE, "etag": None, "modified": None}
            target.with_name("data.hdf5.part.json").write_text(json.dumps(notes))
        assert get(server.url, target, sha256=DIGEST) == DIGEST
    assert mine.read_bytes() == CONTENT[:70_000]
    assert target.read_bytes() == CONTENT and not target.is_symlink()


@pytest.mark.skipif(not HAS_OPENSSL, reason="no openssl")
def test_a_self_signed_certificate_is_not_tried_again(target, tmp_path):
    with raw_server(serve(CONTENT), context=server_context(tmp_path)) as server:
        assert "certificate verify failed" in refusal(server.url, target, attempts=9, backoff=9.0)


@pytest.mark.skipif(not HAS_OPENSSL, reason="no openssl")
def test_https_does_not_lead_to_http(target, tmp_path, monkeypatch):
    context = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with raw_server(serve(CONTENT), context=context) as server:
        assert get(server.url, target) == DIGEST
    target.unlink()
    away = reply("Location: http://127.0.0.1:9/x", "Content-Length: 0", status="302 Found")
    with raw_server(away, context=context) as server:
        assert "redirects from https to http://127.0.0.1:9/x" in refusal(server.url, target)


JUNK = (b"", bytes(1000), b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 99999)


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_instead_of_an_answer(target, junk):
    with raw_server(send(junk)) as server:
        assert "cannot fetch" in refusal(server.url, target)


def test_the_systems_proxy_is_used(target, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    with raw_server(serve(CONTENT)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/data.hdf5"))
        assert get("http://host.invalid/data.hdf5", target) == DIGEST
        assert proxy.requests[0][""] == "GET http://host.invalid/data.hdf5 HTTP/1.1"
        endless = repeat(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.02)
    target.unlink()
    with raw_server(endless) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.removesuffix("/data.hdf5"))
        assert "cannot fetch" in refusal("https://host.invalid/data.hdf5", target)
        assert proxy.requests[0][""].startswith("CONNECT host.invalid")
