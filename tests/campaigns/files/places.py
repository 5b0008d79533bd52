"""What lies where a file is meant and is none: pipes, links to devices and to themselves, folders, unreadable files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.campaigns.common import Trial
from tests.campaigns.files.commands import COMMANDS, DATASET, Words, commands_on_input
from tests.campaigns.forked import command
from tests.campaigns.judge import judge
from tests.campaigns.specimens import Specimens


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _socket(path: Path) -> None:
    import socket

    descriptor = os.open(path.parent, os.O_RDONLY)
    here = os.getcwd()
    os.fchdir(descriptor)  # a socket's path may have 107 characters only
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)
        os.close(descriptor)


PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder": Path.mkdir,
    "an empty file": Path.touch,
    "a link to /dev/zero": _link("/dev/zero"),
    "a link to /dev/full": _link("/dev/full"),
    "a link to /dev/urandom": _link("/dev/urandom"),
    "a link to /dev/null": _link("/dev/null"),
    "a link to /dev/stdin": _link("/dev/stdin"),
    "a link to a folder": _link("/etc"),
    "a link to nothing": _link("nothing"),
    "a link to itself": _to_itself,
    "a link to /proc/self/mem": _link("/proc/self/mem"),
    "a file of 300 GB with nothing in it": lambda path: (path.touch(), os.truncate(path, 300 * 10**9)),
    "a file of mode 0": lambda path: path.touch(mode=0),
}


def trials(specimens: Specimens, seed: int) -> Iterator[Trial]:
    """Every place in place of every kind of file of a run directory, and of every input."""
    number = 0
    for what in PLACES:
        for pattern in COMMANDS:
            yield Trial(f"{what} as {pattern}", partial(_attempt_run, specimens, what, pattern, number))
            number += 1
        for name in ("data.hdf5", "data.npz", "data.pkl", "data", "folder", "config.yaml", "checkpoint"):
            yield Trial(f"{what} as {name}", partial(_attempt_input, specimens, what, name, number))
            number += 1


def _attempt_run(specimens: Specimens, what: str, pattern: str, number: int, folder: Path) -> str:
    shutil.copytree(specimens.folder / "runs", folder / "runs")
    place = folder / "runs" / DATASET
    matching = place.glob(f"**/{pattern}") if not pattern.startswith("..") else [(place / pattern).resolve()]
    files = sorted(path for path in matching if path.is_file() and not path.name.startswith(".lock"))
    target = files[number % len(files)]
    target.unlink()
    PLACES[what](target)
    words = COMMANDS[pattern][number % len(COMMANDS[pattern])]
    problem = judge(command([*words, "--runs-dir", "runs"], folder))
    return f"`{' '.join(words)}` with {target.relative_to(folder)}: {problem}" if problem else ""


def _attempt_input(specimens: Specimens, what: str, name: str, number: int, folder: Path) -> str:
    unit = folder / name
    target = unit
    if name == "folder":
        unit.mkdir()
        target = unit / "episode.npz"
    elif name == "checkpoint":
        shutil.copytree(specimens.checkpoints[number % 4], unit)
        files = sorted(unit.iterdir())
        target = files[number % len(files)]
        target.unlink()
    PLACES[what](target)
    choices: list[Words] = commands_on_input(unit, is_checkpoint=name == "checkpoint")
    words = choices[number % len(choices)]
    problem = judge(command(words, folder))
    return f"`{' '.join(words)}`: {problem}" if problem else ""
