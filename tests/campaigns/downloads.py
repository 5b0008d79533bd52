"""Downloads from servers that lie, drip, never end or change their files.

A download ends in time, with the right file or with one sentence, and takes no more of the disk than the file has:
``python -m tests.campaigns.downloads --seed N [--trials N]``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from seqrl_cli.download.fetch import fetch
from seqrl_cli.errors import SeqrlError
from tests.campaigns.common import Trial, main, run_program, verdict
from tests.data.certificate import HAS_OPENSSL, server_context
from tests.data.raw_server import Answer, raw_server, repeat, reply, send, serve

SECONDS = 8.0
"""How long a download may take with these limits."""

LIMITS = {"timeout": 0.3, "total_timeout": 4.0, "attempts": 3, "backoff": 0.01, "speed_seconds": 0.3}
CEILING = 1_000_000
ETAG = 'ETag: "{}"'
OLD = "Last-Modified: Mon, 02 Mar 2020 10:0{}:00 GMT"
LATER, AT_ONCE = "Date: Mon, 02 Mar 2020 12:00:00 GMT", "Date: Mon, 02 Mar 2020 10:00:01 GMT"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def length(content: bytes) -> str:
    return f"Content-Length: {len(content)}"


def attempt(
    folder: Path, places: Sequence[str], right: bytes, succeeds: bool | None, most: int = CEILING, **options
) -> str:
    """Download ``data.hdf5``; returns what is wrong with how that ended.

    Args:
        folder: where to.
        places: what to try.
        right: the file that may come of it.
        succeeds: whether it has to come, or must not; None if both will do.
        most: bytes that may be on the disk.
        **options: of ``fetch``, beside ``LIMITS``.
    """
    target, ended, highest = folder / "data.hdf5", [], [0]

    def note(done: int, total: int | None) -> None:
        highest[0] = max(highest[0], done)

    def run() -> None:
        try:
            fetch(places, target, progress=note, ceiling=CEILING, **LIMITS | options)
            ended.append("")
        except SeqrlError as error:
            ended.append(error.message)
        except BaseException as error:  # what a campaign looks for
            ended.append(error)

    begun = time.monotonic()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if not ended:
        return f"still busy after {SECONDS} s"
    (end,) = ended
    if not isinstance(end, str):
        return f"{type(end).__name__}: {end}"
    taken = max(highest[0], sum(path.lstat().st_size for path in folder.iterdir() if path.name.startswith("data")))
    if taken > most + 65_536:
        return f"{taken:,} bytes instead of {most:,}"
    if end and (target.exists() or "\n" in end or len(end) > 1000):
        return f"a file beside an error, or no sentence: {end[:300]}"
    if not end and target.read_bytes() != right:
        return "the file is wrong"
    if succeeds is not None and succeeds == bool(end):
        return f"ended after {time.monotonic() - begun:.1f} s: {end or 'accepted'}"
    return ""


def trial(name: str, answers: Sequence[Answer], right: bytes, succeeds: bool | None, **options) -> Trial:
    """One download from one server."""

    def run(folder: Path) -> str:
        with raw_server(*answers) as server:
            return attempt(folder, [server.url], right, succeeds, **options)

    return Trial(name, run)


def known(content: bytes, facts: Sequence[str]) -> dict[str, object]:
    """What is known about a file beforehand."""
    return {fact: {"size": len(content), "sha256": digest(content)}[fact] for fact in facts}


KNOWLEDGE = ((), ("size",), ("sha256",), ("size", "sha256"))


def endless(content: bytes, rng: random.Random) -> Iterator[Trial]:
    block = rng.randbytes(rng.choice([1000, 16384, 65536]))
    chunk = b"%x\r\n%s\r\n" % (len(block), block)
    ok = b"HTTP/1.1 200 OK\r\n"
    bodies = {
        "chunks": (ok + b"Transfer-Encoding: chunked\r\n\r\n", chunk),
        "one chunk": (ok + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", block),
        "body of no length": (ok + b"\r\n", block),
        "body of a petabyte": (ok + b"Content-Length: 1000000000000000\r\n\r\n", block),
        "chunks and a length": (ok + f"{length(content)}\r\nTransfer-Encoding: chunked\r\n\r\n".encode(), chunk),
        "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", block),
        "error": (b"HTTP/1.1 503 Busy\r\n\r\n", block),
        "trailers": (ok + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    }
    for name, body in bodies.items():
        for facts in KNOWLEDGE:
            most = len(content) if "size" in facts else CEILING
            options = {"most": most, **known(content, facts)}
            yield trial(f"endless {name}, {facts} known", [repeat(*body)], b"", False, **options)


def cuts(content: bytes, rng: random.Random) -> Iterator[Trial]:
    headers = {"an ETag": [ETAG.format("a")], "a date": [OLD.format(0), LATER], "nothing": []}
    for name, stated in headers.items():
        for facts in KNOWLEDGE:
            lengths = [rng.randrange(5000, len(content) // 4) for _ in range(rng.randint(1, 4))]
            answers = [serve(content, *stated, cut=cut) for cut in (*lengths, None)]
            options = {"attempts": 6, **known(content, facts)}
            yield trial(f"{len(lengths)} cuts, {name}, {facts} known", answers, content, True, **options)


# Headers of the first file and of the changed one.
CHANGES = {
    "ETag": ([ETAG.format("a")], [ETAG.format("b")]),
    "ETag that is gone": ([ETAG.format("a")], []),
    "same weak ETag": (['ETag: W/"a"'], ['ETag: W/"a"']),
    "ETag that became weak": ([ETAG.format("a")], ['ETag: W/"a"']),
    "same ETag without quotes": (["ETag: a"], ["ETag: a"]),
    "date": ([OLD.format(0), LATER], [OLD.format(5), LATER]),
    "date that is gone": ([OLD.format(0), LATER], [LATER]),
    "same date, a second old": ([OLD.format(0), AT_ONCE], [OLD.format(0), LATER]),
    "same date, no clock": ([OLD.format(0)], [OLD.format(0)]),
    "nothing": ([], []),
}


def changed_files(content: bytes, rng: random.Random) -> Iterator[Trial]:
    for name, (before, after) in CHANGES.items():
        for heeds in (True, False):
            for facts in ((), ("sha256",)):
                new = rng.randbytes(len(content))
                begin = serve(content, *before, cut=rng.randrange(1, len(content)))
                answers = (begin, serve(new, *after, heeds_condition=heeds))

                def run(folder: Path, answers=answers, new=new, facts=facts) -> str:
                    with raw_server(*answers) as server:
                        first = attempt(folder, [server.url], b"", False, **{"attempts": 1, **known(new, facts)})
                        return first or attempt(folder, [server.url], new, True, **known(new, facts))

                heeded = "heeded" if heeds else "ignored"
                yield Trial(f"changed file, {name}, If-Range {heeded}, {facts} known", run)


RANGES = (
    *("bytes 0-{last}/{size}", "bytes {next}-{last}/{size}", "bytes {start}-{start}/{start}"),
    *("bytes {last}-{start}/{size}", "bytes {start}-{last}/{more}", "bytes {start}-{last}/*", "bytes */{size}", ""),
    *("bytes {start}-/{size}", "items {start}-{last}/{size}", "bytes -{start}-{last}/{size}", "bytes {start}-{last}"),
    *("bytes={start}-{last}/{size}", "bytes {start}-" + "9" * 5000 + "/{size}"),
)


def wrong_ranges(content: bytes, rng: random.Random) -> Iterator[Trial]:
    for form in RANGES:
        for facts in ((), ("sha256",)):
            start, size = rng.randrange(1, len(content) - 1), len(content)
            value = form.format(start=start, next=start + 1, last=size - 1, size=size, more=size + 5)
            body = content[start:] if rng.random() < 0.5 else rng.randbytes(size - start)
            headers = (f"Content-Range: {value}", length(body), ETAG.format("a"))
            part = reply(*headers, body=body, status="206 Partial Content")
            answers = [serve(content, ETAG.format("a"), cut=start), part, part, serve(content, ETAG.format("b"))]
            name = f"Content-Range {form[:40]!r}, {facts} known"
            yield trial(name, answers, content, None, **known(content, facts))


PLACES = (
    *("file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "javascript:alert(1)", "gopher://127.0.0.1/"),
    *("//", "", "http://", "http://me:secret@127.0.0.1:9/x", "http://127.0.0.1:99999/x", "http://[::1/x", "?again"),
    *("http://127.0.0.1:" + "9" * 5000, "HTTP://x\x01y/", "http://" + "a" * 300 + "/", "/" + "x" * 60_000),
)


def redirects(content: bytes, rng: random.Random) -> Iterator[Trial]:
    for place in PLACES:
        status = rng.choice(["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
        answers = [reply(f"Location: {place}", "Content-Length: 0", status=status)]
        yield trial(f"redirect to {place[:40]!r}", answers, b"", False, **known(content, rng.choice(KNOWLEDGE)))

    def long_way(folder: Path) -> str:
        with raw_server(serve(content)) as last:
            step = reply("Location: /again", "Content-Length: 0", status="302 Found")
            with raw_server(*[step] * 3, reply(f"Location: {last.url}", status="302 Found")) as first:
                return attempt(folder, [first.url], content, True)

    yield Trial("redirect to the file", long_way)


CODINGS = ("gzip", "GZIP", "br", "identity, gzip", "x")
REFUSED_HEADERS: dict[str, tuple[str, ...]] = {
    "5,000 digits": ("Content-Length: " + "9" * 5000,),
    "negative length": ("Content-Length: -1",),
    "length in words": ("Content-Length: many",),
    "two lengths": ("Content-Length: 9", "Content-Length: 5"),
    "gzip and chunks": ("Transfer-Encoding: gzip, chunked",),
    "chunks twice": ("Transfer-Encoding: chunked, chunked",),
    "5,000 headers": ("X: y",) * 5000,
    "a line of 100,000": ("X: " + "y" * 100_000,),
}
STATUSES = (
    *("204 No Content", "201 Created", "205 Reset", "206 Partial Content", "304 Not Modified", "300 Choices"),
    *("404 " + "x" * 60_000, "500 \x1b[2J", "999 Odd", "100 Continue", "-1 Less"),
)
CHUNKS = (b"-5\r\nabcde\r\n", b"xyz\r\n", b"9" * 5000 + b"\r\n", b"5;" + b"x" * 99_999, b"5\r\nabc", b"\r\n" * 99)
BYTES = (b"", b"\0" * 70_000, b"SSH-2.0\r\n", b"HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"x" * 500)


def junk(content: bytes, rng: random.Random) -> Iterator[Trial]:
    size = length(content)
    refused = {
        **{f"coding {coding}": reply(f"Content-Encoding: {coding}", size, body=content) for coding in CODINGS},
        **{name: reply(*headers, body=content) for name, headers in REFUSED_HEADERS.items()},
        **{f"status {status[:20]}": reply(size, body=content, status=status) for status in STATUSES},
        **{f"chunk {chunk[:9]!r}": reply("Transfer-Encoding: chunked", body=chunk) for chunk in CHUNKS},
        **{f"bytes {data[:9]!r}": send(data) for data in (*BYTES, rng.randbytes(9000))},
    }
    for name, answer in refused.items():
        yield trial(f"junk: {name}", [answer], b"", False, **known(content, rng.choice(KNOWLEDGE)))
    for coding in ("Identity", "IDENTITY", ""):
        answer = reply(f"Content-Encoding: {coding}", size, body=content)
        yield trial(f"coding {coding!r}", [answer], content, True, **known(content, rng.choice(KNOWLEDGE)))
    folded = reply(size, 'ETag: "a"\r\n X-Evil: 1', body=content[:9000])
    yield trial("a folded ETag", [folded, serve(content)], content, True)


def slow(content: bytes, rng: random.Random) -> Iterator[Trial]:
    ok = b"HTTP/1.1 200 OK\r\n"
    stated = ok + f"{length(content)}\r\n\r\n".encode()
    chunked = ok + b"Transfer-Encoding: chunked\r\n\r\n"
    pause = rng.uniform(0.01, 0.2)
    drips = {
        "a body by bytes": (stated, b"x", pause),
        "a body that stops": (stated + content[:5000], b"", pause),
        "chunks by bytes": (chunked, b"1\r\nx\r\n", pause),
        "the name of a chunk": (chunked + b"5;", b"x", pause),
        "trailers": (chunked + b"0\r\n", b"X: y\r\n", pause),
        "one header by bytes": (ok + b"X: ", b"y", pause),
        "header by header": (ok, b"X: y\r\n", pause),
        "header by header, at once": (ok, b"X: y\r\n", 0.0),
        "preliminary answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.0),
        "nothing": (b"", b"", pause),
        "the status": (b"HTTP/1.1 2", b"0", pause),
        "the headers of a redirect": (b"HTTP/1.1 302 Found\r\n", b"Location: /x\r\n", pause),
    }
    for name, drip in drips.items():
        yield trial(f"drip of {name}", [repeat(*drip)], b"", False, **known(content, rng.choice(KNOWLEDGE)))
    byte = serve(content, ETAG.format("a"), cut=1)
    yield trial("a byte per connection", [byte], b"", False, backoff=0.05, **known(content, ["sha256"]))


def with_tls(content: bytes, rng: random.Random) -> Iterator[Trial]:
    away = reply("Location: http://127.0.0.1:9/x", "Content-Length: 0", status="302 Found")
    kinds = {
        "self-signed": (False, serve(content), False),
        "trusted": (True, serve(content), True),
        "from https to http": (True, away, False),
        "cut": (True, serve(content, cut=5000), False),
        "a drip": (True, repeat(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x", 0.05), False),
        "headers without end": (True, repeat(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.02), False),
    }
    for name, (trusted, answer, succeeds) in kinds.items() if HAS_OPENSSL else ():

        def run(folder: Path, trusted=trusted, answer=answer, succeeds=succeeds) -> str:
            context = server_context(folder)
            chosen = {"SSL_CERT_FILE": str(folder / "certificate.pem")} if trusted else {}
            with mock.patch.dict(os.environ, chosen), raw_server(answer, context=context) as server:
                return attempt(folder, [server.url], content, succeeds)

        yield Trial(f"TLS: {name}", run)

    def plain(folder: Path) -> str:
        with raw_server(serve(content)) as server:
            return attempt(folder, [server.url.replace("http:", "https:")], b"", False)

    yield Trial("TLS: a server without", plain)


def prepare(folder: Path, kind: str, content: bytes, url: str) -> None:
    """Leave something in the place of the partial file, with right notes if it is to be continued, or of its notes."""
    part, notes, mine = (folder / name for name in ("data.hdf5.part", "data.hdf5.part.json", "mine"))
    mine.write_bytes(content[:100])
    if kind.startswith("continued"):
        notes.write_text(json.dumps({"url": url, "size": len(content), "etag": None, "modified": None}))
    if kind.startswith("notes"):
        part.write_bytes(content[:100][::-1])
        part = notes
    if kind.endswith("link"):
        part.symlink_to(mine)
    elif kind.endswith("second name"):
        part.hardlink_to(mine)
    elif kind.endswith("device"):
        part.symlink_to(os.devnull if kind == "device" else "/dev/zero")
    elif kind.endswith("pipe"):
        os.mkfifo(part)
    elif kind.endswith("loop"):
        part.symlink_to(part)
    else:
        part.write_bytes({"nested": b"[" * 100_000, "list": b"[1, 2]", "bytes": b"\xff\xfe"}[kind.rpartition(" ")[2]])


def leftovers(content: bytes, rng: random.Random) -> Iterator[Trial]:
    kinds = [
        f"{what}{kind}"
        for what in ("", "continued ", "notes: ")
        for kind in ("link", "second name", "device", "pipe", "loop")
    ]
    for kind in [*kinds, "notes: nested", "notes: list", "notes: bytes"]:
        facts = ["sha256"] if kind.startswith("continued") else rng.choice(KNOWLEDGE)
        cut = rng.randrange(200, 9000)

        def run(folder: Path, kind=kind, facts=facts, cut=cut) -> str:
            with raw_server(serve(content, cut=cut), serve(content)) as server:
                prepare(folder, kind, content, server.url)
                problem = attempt(folder, [server.url], content, True, **known(content, facts))
            return problem or ("" if (folder / "mine").read_bytes() == content[:100] else "written through")

        yield Trial(f"left behind: {kind}", run)


def mirrors(content: bytes, rng: random.Random) -> Iterator[Trial]:
    hostile = {
        "cut": [serve(content, cut=9000), reply("Content-Length: 0", status="404 Gone")],
        "other bytes": [serve(rng.randbytes(len(content)))],
        "other bytes, cut": [serve(rng.randbytes(len(content)), cut=9000), send(b"")],
        "a longer file": [serve(content + b"more")],
        "endless": [repeat(b"HTTP/1.1 200 OK\r\n\r\n", rng.randbytes(9000))],
        "a page": [reply("Content-Length: 5", body=b"<htm>")],
        "a drip": [repeat(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05)],
        "a missing file": [reply("Content-Length: 0", status="404 Gone")],
    }
    for name, answers in hostile.items():

        def run(folder: Path, answers=answers) -> str:
            with raw_server(*answers) as mirror, raw_server(serve(content)) as publisher:
                return attempt(folder, [mirror.url, publisher.url], content, True, **known(content, KNOWLEDGE[-1]))

        yield Trial(f"mirror with {name}", run)


FETCH = """
import sys
from pathlib import Path
from seqrl_cli.download.fetch import fetch
fetch(sys.argv[1], Path(sys.argv[2]), backoff=0.01)
"""


def processes(content: bytes, rng: random.Random) -> Iterator[Trial]:
    answers = [serve(content, ETAG.format("a"), cut=rng.randrange(5000, 9000)) for _ in range(2)]

    def together(folder: Path) -> str:
        with raw_server(*answers, serve(content, ETAG.format("a"))) as server:
            words = [sys.executable, "-c", FETCH, server.url, str(folder / "data.hdf5")]
            running = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(6)]
            errors = [process.communicate(timeout=60)[1] for process in running]
            requests = len(server.requests)
        if any(process.returncode for process in running):
            return f"one failed: {max(errors, key=len).decode()[-300:]}"
        if (folder / "data.hdf5").read_bytes() != content:
            return "the file is wrong"
        return "" if requests == 3 else f"{requests} requests"

    yield Trial("six processes at once", together)

    def program(folder: Path) -> str:
        with raw_server(repeat(b"HTTP/1.1 200 OK\r\n\r\n", bytes(65_536))) as server:
            proxies = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
            environment = {"SEQRL_MIRRORS": f"d4rl={server.url}", **proxies}
            outcome = run_program(["download", "hopper-medium-v2"], folder, environment, 120)
        taken = sum(path.lstat().st_size for path in folder.rglob("*"))
        return verdict(outcome, codes=(1,), seconds=90) or ("" if taken < 2**20 else f"{taken:,} bytes")

    yield Trial("the command itself, endless body", program)


KINDS: tuple[Callable[[bytes, random.Random], Iterator[Trial]], ...] = (
    endless,
    cuts,
    changed_files,
    wrong_ranges,
    redirects,
    junk,
    slow,
    with_tls,
    leftovers,
    mirrors,
    processes,
)


def make_trials(seed: int) -> list[Trial]:
    """All trials: the same kinds for every seed, of other files, cut elsewhere and known otherwise."""
    trials = []
    for kind in KINDS:
        rng = random.Random(f"{seed} {kind.__name__}")
        trials += kind(rng.randbytes(rng.randrange(40_000, 200_000)), rng)
    return trials


if __name__ == "__main__":
    main("downloads", make_trials)
