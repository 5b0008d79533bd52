"""Kill commands outright, run them again, and compare with a run that was never killed.

``python -m tests.campaigns.kill --seed N [--trials N]``. Most kills come before a change that the command makes to a
file or folder, others at a moment, some of these to the real executable. Afterwards the same command must end well,
with the same weights, buffers, actions, data and records, with no file more or fewer than without the kill, and with no
lock left.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from functools import cache
from pathlib import Path

from tests.campaigns.common import Trial, main, run_program
from tests.campaigns.writers import COMMANDS, differences, fresh, reference, run, workplace

KINDS = ("change", "change", "change", "change", "moment", "moment of the executable")
"""Kinds of a command's kills; one of each per command and seed."""

KILLED = -signal.SIGKILL
"""How a command ends that is killed; one that is killed at a moment may have ended before, with 0."""


def kill_at_change(folder: Path, name: str, draw: float) -> int:
    """Let a command kill itself before one of its changes; returns its exit code."""
    last = 1 + int(draw * reference(name).changes)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return run(COMMANDS[name], folder, count).code


def kill_at_moment(folder: Path, name: str, draw: float) -> int:
    """Kill a fork that runs a command after a share of the time that it takes."""
    return run(COMMANDS[name], folder, seconds=draw * seconds(name, False)).code


def kill_executable(folder: Path, name: str, draw: float) -> int:
    """Kill a process of its own after 40 % of its time or later, since the first part is for imports."""
    return run_program(COMMANDS[name], folder, seconds=(0.4 + 0.6 * draw) * seconds(name, True)).code


@cache
def seconds(name: str, executable: bool) -> float:
    """How long a command takes."""
    with tempfile.TemporaryDirectory(prefix="campaign-time-") as folder:
        fresh(Path(folder))
        begin = time.monotonic()
        outcome = (run_program if executable else run)(COMMANDS[name], Path(folder))
        assert outcome.code == 0, outcome.stderr
        return time.monotonic() - begin


HOW = {"change": kill_at_change, "moment": kill_at_moment, "moment of the executable": kill_executable}


def attempt(folder: Path, name: str, kind: str, draw: float) -> str:
    """Kill a command once, run it again, and say what differs from a run without a kill."""
    expected = reference(name).files
    fresh(folder)
    code = HOW[kind](folder, name, draw)
    if code != KILLED and (code != 0 or kind == "change"):
        return f"it ended with {code} before it was killed"
    again = run(COMMANDS[name], folder)
    if again.code:
        return f"the same command ends with {again.code}: {again.stderr.strip()[-300:]}"
    return differences(folder, expected)


def trials(seed: int) -> list[Trial]:
    """Kills of each command; the executable's of every third, in turn with the seed, since they take long."""
    random_ = random.Random(seed)
    found = []
    for kind in KINDS:
        for index, name in enumerate(COMMANDS):
            draw = random_.random()
            if kind.endswith("executable") and (index + seed) % 3:
                continue
            found.append(
                Trial(
                    f"{name}, killed at {kind} {draw:.4f} of the whole",
                    lambda folder, name=name, kind=kind, draw=draw: attempt(folder, name, kind, draw),
                )
            )
    return found


if __name__ == "__main__":
    with workplace():
        main("kill", trials)
