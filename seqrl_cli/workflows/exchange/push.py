"""``seqrl runs push``: copy runs and their data to a URL, once or after each checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.artifacts.remote import FencedError, Remote
from seqrl_cli.artifacts.remote_faults import UnreachableError
from seqrl_cli.artifacts.sync import Pushed, data_files, push_folder, run_files
from seqrl_cli.console import Console, byte_size, counted, shown_url
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import read_bytes
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore

POLL_SECONDS = 2.0
WAITS = (2.0, 5.0, 15.0, 40.0)
"""Seconds before each further attempt of a push that no other one follows."""


@dataclass(frozen=True)
class PushRequest:
    """Options of ``seqrl runs push``.

    Attributes:
        store: the run directory.
        runs: runs by path or name; none means the latest.
        url: the URL to push to.
        data: whether datasets and tokens go along.
        is_over: waits for some seconds, and returns whether the run has ended; None pushes what is there.
        wait: waits for some seconds before another attempt.
    """

    store: RunStore
    runs: tuple[str, ...]
    url: str
    data: bool = True
    is_over: Callable[[float], bool] | None = None
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class PushReport:
    """Result of ``runs push``."""

    url: str
    folders: list[str]
    files: int
    bytes: int

    def text(self) -> str:
        """One line for a person."""
        return f"{counted(self.files, 'new file')}, {byte_size(self.bytes)}, of {', '.join(self.folders)} to {self.url}"


def run(request: PushRequest, console: Console) -> PushReport:
    """Push runs; of those that are running, their newest checkpoint. What may pass is tried again for a minute.

    Raises:
        FencedError: another machine has pushed one of them.
        SeqrlError: there is no such run, or the URL cannot be reached.
    """
    remote = Remote(request.url)
    parts = _parts(request, remote, console)
    states = {name: Pushed(name) for name in parts}
    sent = 0

    def push_all() -> None:
        nonlocal sent
        for name, (folder, files) in parts.items():
            sent += push_folder(remote, states[name], folder, files)

    if request.is_over is not None:
        _follow(request, parts, push_all, console)
    _insist(push_all, request.wait, console)
    return PushReport(remote.shown, list(parts), sent, sum(state.sent for state in states.values()))


def dry_run(request: PushRequest, console: Console) -> None:
    """Print which folders would be pushed, and how large they are."""
    facts = {}
    for name, (folder, files) in _parts(request, Remote(request.url), console).items():
        facts[name] = byte_size(sum((folder / path).stat().st_size for path in files(folder)))
    console.emit({"url": shown_url(request.url), "folders": facts})
    console.show_facts({"to": shown_url(request.url), **facts})


Parts = dict[str, tuple[Path, Callable[[Path], list[str]]]]


def _parts(request: PushRequest, remote: Remote, console: Console) -> Parts:
    """The folders to push by name, datasets first, each with what lists its files."""
    folders = [request.store.find(spec, console.warn) for spec in request.runs or (None,)]
    if request.data:
        folders = _with_bases(request.store, remote, folders)
    parts: Parts = {}
    for folder in folders:
        record = read_record(folder.record)
        if request.data:
            for name in dict.fromkeys([*record.datasets, request.store.name_of(folder.path.parent)]):
                path = request.store.dataset(name).path
                if data_files(path):
                    parts[name] = path, data_files
    return parts | {request.store.name_of(folder.path): (folder.path, run_files) for folder in folders}


def _with_bases(store: RunStore, remote: Remote, folders: Sequence[RunFolder]) -> list[RunFolder]:
    """The runs and those that they fine-tuned, without whose weights adapters cannot be loaded.

    One that is at the URL stays as it is: it may be newer there.
    """
    found = list(folders)
    for folder in found:  # which grows
        base = read_record(folder.record).base
        run = None if base is None else RunFolder(store.root / base.run)
        if run is None or any(store.known_as(run.path) == store.known_as(one.path) for one in found):
            continue
        if _is_readable(run) and remote.manifest(store.name_of(run.path)) is None:
            found.append(run)
    return found


def _is_readable(run: RunFolder) -> bool:
    with suppress(SeqrlError):
        read_record(run.record)
        return True
    return False


def _follow(request: PushRequest, parts: Parts, push_all: Callable[[], None], console: Console) -> None:
    """Push after each checkpoint until the runs are over, all but the last; what fails is tried again at the next."""
    assert request.is_over is not None
    seen: list[bytes] = []
    while not request.is_over(POLL_SECONDS):
        newest = [_newest(RunFolder(folder)) for folder, files in parts.values() if files is run_files]
        if newest == seen:
            continue
        try:
            push_all()
            seen = newest
        except FencedError:
            raise
        except SeqrlError as error:
            console.warn(f"{error.message}; the push is tried again at the next checkpoint")
            seen = newest


def _insist(push_all: Callable[[], None], wait: Callable[[float], None], console: Console) -> None:
    """Push, and try again after growing waits while the store does not answer; the last error is the caller's."""
    for seconds in WAITS:
        try:
            return push_all()
        except UnreachableError as error:
            console.warn(f"{error.message}; another attempt follows in {seconds:.0f} s")
            wait(seconds)
    push_all()


def _newest(run: RunFolder) -> bytes:
    try:
        return read_bytes(run.last_checkpoint, 64)
    except OSError:
        return b""
