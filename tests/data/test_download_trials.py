"""Two hundred downloads over a bad network: no wrong file is accepted, and no good byte comes twice."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.download.fetch import fetch
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hashes import file_sha256
from tests.data.server import Manner, Server, serving

pytestmark = pytest.mark.slow

CONTENT = np.random.default_rng(1).bytes(30_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
STALLING_TRIALS = range(0, 140, 20)  # a stall costs a timeout


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """The publisher and, under another host name, somebody else who has the file."""
    with serving(CONTENT) as publisher, serving(CONTENT) as other:
        other.url = other.url.replace("127.0.0.1", "localhost")
        yield publisher, other


def get(places: list[str], target: Path) -> str:
    return fetch(places, target, sha256=DIGEST, size=len(CONTENT), timeout=0.4, backoff=0.0, attempts=12)


# Faults that lose nothing which had come; a function of the generator and of a URL to be sent to.
HARMLESS: dict[str, Callable[[np.random.Generator, str], Manner]] = {
    "cut": lambda rng, url: Manner(cut=int(rng.integers(0, 12_000))),
    "cut in a chunk": lambda rng, url: Manner(cut=int(rng.integers(0, 12_000)), chunked=True),
    "busy": lambda rng, url: Manner(status=int(rng.choice([429, 500, 502, 503, 504]))),
    "longer than it is": lambda rng, url: Manner(declared=len(CONTENT) + int(rng.integers(1, 99))),
    "shorter than it is": lambda rng, url: Manner(declared=int(rng.integers(1, 9_000))),
    "elsewhere": lambda rng, url: Manner(redirect=url),
}
# Faults after which something has to come again, or nothing can.
HARMFUL: dict[str, Callable[[np.random.Generator, str], Manner]] = {
    "wrong content": lambda rng, url: Manner(garbage=True),
    "wrong content, cut": lambda rng, url: Manner(garbage=True, cut=int(rng.integers(1, 12_000))),
    "whole, though a part was asked for": lambda rng, url: Manner(ranges=False),
    "another part": lambda rng, url: Manner(shift=int(rng.integers(1, 500))),
    "forbidden": lambda rng, url: Manner(status=int(rng.choice([403, 404, 410]))),
    "to another scheme": lambda rng, url: Manner(redirect=str(rng.choice(["ftp://host/file", "file:///etc/passwd"]))),
}


@pytest.mark.parametrize("trial", range(140))
def test_no_good_byte_comes_twice(servers, tmp_path, trial):
    publisher, other = servers
    rng = np.random.default_rng((0, trial))
    publisher.manners = [HARMLESS[str(rng.choice(list(HARMLESS)))](rng, other.url) for _ in range(rng.integers(0, 7))]
    if trial in STALLING_TRIALS:
        publisher.manners.insert(0, Manner(cut=int(rng.integers(0, 12_000)), stall=True))
    publisher.good_bytes = other.good_bytes = 0
    target = tmp_path / "dataset.hdf5"
    assert get([publisher.url], target) == file_sha256(target) == DIGEST
    assert publisher.good_bytes + other.good_bytes == len(CONTENT)


@pytest.mark.parametrize("trial", range(60))
def test_no_wrong_file_is_accepted(servers, tmp_path, trial):
    publisher, other = servers
    rng = np.random.default_rng((1, trial))
    faults = {**HARMLESS, **HARMFUL}
    for server in servers:
        names = rng.choice(list(faults), int(rng.integers(1, 6)))
        server.manners = [faults[str(name)](rng, publisher.url) for name in names]
    target = tmp_path / "dataset.hdf5"
    try:
        assert get([other.url, publisher.url], target) == DIGEST
        assert file_sha256(target) == DIGEST
    except SeqrlError as error:
        assert publisher.url in error.message and other.url in error.message
        assert not target.exists()
    for server in servers:
        server.manners = []
    assert get([other.url, publisher.url], target) == file_sha256(target) == DIGEST
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [target.name]


def test_redirects_in_a_circle_end(servers, tmp_path):
    publisher, other = servers
    publisher.manners = [Manner(redirect=other.url)] * 30
    other.manners = [Manner(redirect=publisher.url)] * 30
    with pytest.raises(SeqrlError, match="infinite loop"):
        get([publisher.url], tmp_path / "a")
    publisher.manners, other.manners = [], []


def test_what_one_place_began_another_ends(servers, tmp_path):
    publisher, mirror = servers
    publisher.good_bytes = mirror.good_bytes = 0
    mirror.manners = [Manner(cut=10_000), Manner(status=404)]
    assert get([mirror.url, publisher.url], tmp_path / "a") == DIGEST
    assert (mirror.good_bytes, publisher.good_bytes) == (10_000, len(CONTENT) - 10_000)


def test_without_a_hash_another_place_begins_anew(servers, tmp_path):
    publisher, mirror = servers
    publisher.good_bytes = 0
    mirror.manners = [Manner(cut=10_000, garbage=True), Manner(status=404)]
    assert fetch([mirror.url, publisher.url], tmp_path / "a", backoff=0.0) == DIGEST
    assert publisher.good_bytes == len(CONTENT)


def test_a_killed_process_loses_no_byte(servers, tmp_path):
    publisher, _ = servers
    publisher.good_bytes = 0
    publisher.manners = [Manner(cut=12_345, stall=True)]
    target = tmp_path / "a.hdf5"
    code = (
        "import sys; from pathlib import Path; from seqrl_cli.download.fetch import fetch; "
        "fetch(sys.argv[1], Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, publisher.url, str(target)])
    part = target.with_name("a.hdf5.part")
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 12_345):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert get([publisher.url], target) == DIGEST
    assert publisher.good_bytes == len(CONTENT)
