"""Push a folder to a URL, and pull one: each file once, by its hash."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from seqrl_cli.artifacts.remote import Manifest, Remote, Stored
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, writing
from seqrl_cli.files.regular import open_regular
from seqrl_cli.runs.layout import RUN_FILES, RUN_FOLDERS

SMALL = 2**20
"""Bytes of files that are read once and kept in memory: they may grow while they are pushed."""

_LAST = ("checkpoints/last", "metrics.jsonl", "config.yaml", "run.json")


@dataclass
class Pushed:
    """What a machine knows of one folder below a URL.

    Attributes:
        name: name of the folder.
        seen: the manifest that was read or written last.
        has_looked: whether there was a look at the URL.
        hashes: hashes by path, size and time of change, so that nothing is hashed twice.
        sent: bytes sent so far.
    """

    name: str
    seen: Manifest | None = None
    has_looked: bool = False
    hashes: dict[tuple[str, int, int], str] = field(default_factory=dict)
    sent: int = 0


def push_folder(remote: Remote, state: Pushed, folder: Path, files: Callable[[Path], list[str]]) -> int:
    """Push what is new in a folder; returns the number of files sent.

    Contents go first, the manifest last. What is removed or changed meanwhile is left out, to go with the next push.

    Args:
        remote: the URL to push to.
        state: what is known of the same folder, kept from push to push.
        folder: what to push.
        files: lists its files, by relative path with slashes.

    Raises:
        FencedError: another machine pushed to the same place.
        SeqrlError: the URL cannot be reached.
    """
    if not state.has_looked:
        state.seen, state.has_looked = remote.manifest(state.name), True
    there = remote.sizes(state.name)
    stored: dict[str, Stored] = {}
    sent = 0
    for path in files(folder):
        try:
            source, one = _read(state, folder / path)
        except FileNotFoundError:
            continue
        if there.get(one.sha256) != one.size:
            try:
                remote.put(state.name, one.sha256, source)
            except SeqrlError:
                if (folder / path).exists():
                    raise
                continue  # removed while it was sent
            if isinstance(source, Path) and not _is_still(state, source, one):
                remote.remove(state.name, {one.sha256})  # what was sent has another hash
                before = state.seen.files.get(path) if state.seen else None
                if before is not None and there.get(before.sha256) == before.size:
                    stored[path] = before  # what was whole stays until the next push
                continue
            there[one.sha256] = one.size
            sent += 1
            state.sent += one.size
        stored[path] = one
    stored = _whole_checkpoints(stored)
    if state.seen is None or dict(state.seen.files) != stored:
        state.seen = remote.replace_manifest(state.name, stored, state.seen)
        remote.remove(state.name, there.keys() - state.seen.hashes - set(state.seen.before))
    return sent


def run_files(folder: Path) -> list[str]:
    """The files of a run: contents that never change first, and those that name others last.

    What trackers keep, and what users put there, such as exports, stays here.
    """
    found = [path.relative_to(folder).as_posix() for path in _files_below(folder)]
    kept = [path for path in found if path in RUN_FILES or path.split("/")[0] in RUN_FOLDERS and "/" in path]
    return sorted(kept, key=lambda path: (_LAST.index(path) if path in _LAST else -1, path))


def data_files(folder: Path) -> list[str]:
    """The files of a dataset's folder itself, without its runs."""
    return [name for name in ("dataset.h5", "tokens.h5") if (folder / name).is_file()]


def pull_files(remote: Remote, name: str, manifest: Manifest, into: Path, known: Path) -> int:
    """Write all files of a manifest into an empty folder; returns the bytes that came from the URL.

    Args:
        remote: the URL to pull from.
        name: name of the folder there.
        manifest: the manifest of that folder.
        into: the folder to write the files in.
        known: another folder, whose files of equal hashes are used.

    Raises:
        SeqrlError: a file is damaged or missing, or the disk is full.
    """
    received = 0
    for path, one in manifest.files.items():
        target = into / path
        make_folder(target.parent)
        if _same(known / path, one):
            with writing(target):
                shutil.copyfile(known / path, target, follow_symlinks=False)
            continue
        with writing(target), target.open("xb") as file:
            for block in remote.get(name, one):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        received += one.size
    return received


def _read(state: Pushed, path: Path) -> tuple[Path | bytes, Stored]:
    """A file's content, or its path if it is large, and its hash."""
    facts = path.stat()
    if facts.st_size <= SMALL or path.suffix == ".jsonl":
        with open_regular(path) as file:
            content = file.read()
        return content, Stored(hashlib.sha256(content).hexdigest(), len(content))
    key = (str(path), facts.st_size, facts.st_mtime_ns)
    if key not in state.hashes:
        state.hashes[key] = _hash_of(path)
    return path, Stored(state.hashes[key], facts.st_size)


def _is_still(state: Pushed, path: Path, one: Stored) -> bool:
    """Whether a large file is the one whose hash is known, and was not written or replaced meanwhile."""
    with suppress(FileNotFoundError):
        facts = path.stat()
        return state.hashes.get((str(path), facts.st_size, facts.st_mtime_ns)) == one.sha256
    return False


def _hash_of(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(path: Path, stored: Stored) -> bool:
    with suppress(OSError):
        if path.is_file() and not path.is_symlink() and path.stat().st_size == stored.size:
            return _hash_of(path) == stored.sha256
    return False


def _whole_checkpoints(stored: dict[str, Stored]) -> dict[str, Stored]:
    """The files without checkpoints whose state is missing: they were removed while they were read."""
    folders = {path.rpartition("/")[0] for path in stored if path.startswith("checkpoints/") and path.count("/") == 2}
    broken = {
        one
        for one in folders
        if {f"{one}/state.json", f"{one}/model.safetensors", f"{one}/optimizer.safetensors"} - stored.keys()
    }
    return {path: one for path, one in stored.items() if path.rpartition("/")[0] not in broken}


def _files_below(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here) / name
            if not name.startswith(".") and not name.endswith(".tmp") and path.is_file() and not path.is_symlink():
                yield path
