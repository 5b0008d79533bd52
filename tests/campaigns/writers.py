"""Every command that writes, on tiny data and models, and what it must leave; for the campaigns kill and disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from seqrl_cli.runs.lock import is_locked
from tests.campaigns.changes import notice_changes
from tests.campaigns.common import PATIENCE, Outcome
from tests.campaigns.forked import command_line, forked, import_everything
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN, TINY_TUNE

DATA = "sim/hopper-medium"
ODT_PLAN = ("--episodes", "2", "plan.max_steps=6")

COMMANDS: dict[str, tuple[str, ...]] = {
    "download": ("download", "sim/hopper-random", "data.transitions=400"),
    "train-new": ("train", "sim/hopper-random", "data.transitions=400", *TINY_TRAIN),
    "train-own": ("train", "own.hdf5", *TINY_TRAIN),
    "train-gpt": ("train", DATA, *TINY_TRAIN, "train.updates=8", "--name", "new"),
    "train-retnet": ("train", DATA, *TINY_TRAIN, "train.updates=8", "--arch", "retnet", "--name", "new"),
    "train-odt": ("train", DATA, *TINY_ODT, "train.updates=8", "--name", "new"),
    "train-force": ("train", DATA, *TINY_TRAIN, "train.updates=6", "--name", "gpt", "--force"),
    "discretize": ("discretize", DATA, "data.bins=20", "--force"),
    "collect": ("collect", "hopper", "--policy", "random", "-n", "400", "--name", "mine", "--workers", "1"),
    "plan-gpt": ("plan", f"{DATA}/gpt", *TINY_PLAN, "--seed", "3"),
    "plan-odt": ("plan", f"{DATA}/odt", *ODT_PLAN, "--seed", "3"),
    "plan-force": ("plan", f"{DATA}/gpt", *TINY_PLAN, "--force"),
    "finetune-online": ("finetune-online", f"{DATA}/odt", *TINY_TUNE),
    "export-d4rl": ("export", DATA, "-f", "d4rl"),
    "export-minari": ("export", DATA, "-f", "minari"),
    "export-tt": ("export", f"{DATA}/gpt"),
    "import": ("import", "exported", "--name", "imported"),
    "render-gif": ("render", f"{DATA}/gpt", "--size", "64"),
    "render-mp4": ("render", f"{DATA}/gpt", "--size", "64", "-o", "made/episode.mp4"),
    "plot-png": ("plot", f"{DATA}/gpt"),
    "plot-pdf": ("plot", f"{DATA}/gpt", "-o", "made/curves.pdf"),
    "table-csv": ("table", "-o", "made/results.csv"),
    "table-tex": ("table", "--published", "-o", "made/results.tex"),
}
"""By name, with words that take a second or two."""

PREPARATIONS: tuple[tuple[str, ...], ...] = (
    ("download", DATA, "data.transitions=1500"),
    ("train", DATA, *TINY_TRAIN, "--name", "gpt"),
    ("train", DATA, *TINY_ODT, "--name", "odt"),
    ("plan", f"{DATA}/gpt", *TINY_PLAN),
    ("export", f"{DATA}/gpt", "-o", "exported"),
    ("export", DATA, "-f", "d4rl", "-o", "own.hdf5"),
)

VARYING = re.compile(r"\.mp4$|\.pdf$|^runs/local/own/dataset\.h5$")
"""Files whose bytes may differ: the last one names the place of the file that it was read from."""

LOCKS = (".lock", ".lock-holder")
VOLATILE = re.compile(
    r"second|elapsed|time|date|created|started|ended|pid|host|argv|command|resum|bytes|^weights$|^git$"
)
"""Keys whose values differ from run to run, or tell that a run was resumed."""


@dataclass(frozen=True)
class Reference:
    """What a command leaves that is not disturbed.

    Attributes:
        files: hashes by name, see ``contents``.
        changes: how many changes it makes to files and folders.
        bytes_: the most that it needs on a disk, beside what is there before.
        inodes: the same for files and folders.
    """

    files: dict[str, str]
    changes: int
    bytes_: int
    inodes: int


@contextmanager
def workplace() -> Iterator[None]:
    """Import everything once, and remove at the end what is prepared; around a campaign."""
    import_everything()
    try:
        yield
    finally:
        if prepared.cache_info().currsize:
            shutil.rmtree(prepared())
            prepared.cache_clear()


@cache
def prepared() -> Path:
    """A folder with data, runs, a plan, an exported model and an own file; made once."""
    folder = Path(tempfile.mkdtemp(prefix="campaign-prepared-"))
    for words in PREPARATIONS:
        outcome = run(words, folder)
        assert outcome.code == 0, f"{words}: {outcome.stderr}"
    (folder / "made").mkdir()
    for name in ("episode.mp4", "curves.pdf", "results.csv", "results.tex"):
        (folder / "made" / name).write_text("what was there before")
    return folder


def fresh(folder: Path) -> Path:
    """Copy what is prepared into an empty folder."""
    shutil.copytree(prepared(), folder, dirs_exist_ok=True)
    return folder


def run(
    words: Sequence[str], folder: Path, notice: Callable[[], None] | None = None, seconds: float = PATIENCE
) -> Outcome:
    """Run a command in a fork, with this working folder; call ``notice`` before each change that it makes there."""

    def act() -> None:
        if notice:
            notice_changes(folder, notice)
        command_line(words)

    return forked(act, folder, seconds)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, with a hash of what must be the same whenever the command runs."""
    return {
        path.relative_to(folder).as_posix(): _hash(path, path.relative_to(folder).as_posix())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in LOCKS
    }


def _hash(path: Path, name: str) -> str:
    data = path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        texts = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
        try:
            data = json.dumps([_lasting(json.loads(text)) for text in texts]).encode()
        except ValueError:
            return "torn"
    elif VARYING.search(name):
        return ""
    return hashlib.sha256(data).hexdigest()


def _lasting(value: Any) -> Any:
    """A JSON value without what differs from run to run."""
    if isinstance(value, list):
        return [_lasting(part) for part in value]
    if isinstance(value, dict):
        return {key: _lasting(part) for key, part in value.items() if not VOLATILE.search(key)}
    return value


def litter(folder: Path) -> list[str]:
    """Temporary files and folders."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if re.search(r"\.tmp\b", path.name))


def differences(folder: Path, expected: Mapping[str, str]) -> str:
    """What is left over, missing, different, torn or locked."""
    found = contents(folder)
    problems = [f"left over: {path}" for path in found.keys() - expected.keys()]
    problems += [f"missing: {path}" for path in expected.keys() - found.keys()]
    problems += [f"different: {path}" for path in found.keys() & expected.keys() if found[path] != expected[path]]
    problems += [f"locked: {path.parent}" for path in folder.rglob(".lock") if is_locked(path.parent)]
    problems += [f"torn: {path}" for path, text in found.items() if text == "torn"]
    return "; ".join(sorted({*problems, *(f"left over: {path}" for path in litter(folder))}))


@cache
def reference(name: str) -> Reference:
    """Run a command undisturbed, on a file system of its own if that can be mounted."""
    with tempfile.TemporaryDirectory(prefix="campaign-reference-") as text, small_disk(Path(text)) as folder:
        fresh(folder)
        before, notes = disk_use(folder), folder.with_name(f"{folder.name}.notes")
        try:
            with notes.open("w") as file:

                def note() -> None:
                    print(*disk_use(folder), file=file, flush=True)

                outcome = run(COMMANDS[name], folder, note)
            assert outcome.code == 0, f"{name} fails undisturbed: {outcome.stderr}"
            uses = [tuple(map(int, line.split())) for line in notes.read_text().splitlines()]
        finally:
            notes.unlink(missing_ok=True)
        most = [max(parts) for parts in zip(*uses, disk_use(folder), strict=True)]
        return Reference(contents(folder), len(uses), most[0] - before[0], most[1] - before[1])


def disk_use(folder: Path) -> tuple[int, int]:
    """Bytes and inodes in use on the file system of a folder."""
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize, status.f_files - status.f_ffree


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system in memory at a folder; without the right to, the folder is used as it is."""
    mounted = mount(folder, "size=512m,nr_inodes=50000")
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(folder: Path, options: str) -> bool:
    """Whether it could be mounted."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    return done.returncode == 0
