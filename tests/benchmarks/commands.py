"""Long lists of ``seqrl`` commands: done ones are skipped, cut ones resume, and each has a log of its own."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


def campaign_parser(description: str, seeds: Sequence[int]) -> argparse.ArgumentParser:
    """The options that all long lists of commands have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(seeds))
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--jobs", type=int, default=2, help="commands at once")
    parser.add_argument("--dry-run", action="store_true", help="only say how long it would take")
    parser.add_argument("--tables", action="store_true", help="only print tables of what is there")
    return parser


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, and its processor time in seconds, its own processes included."""

    code: int
    seconds: float


def seqrl(words: Sequence[str], name: str, runs: Path) -> Ended:
    """Run a command in one thread; its messages are added to a log, and its result goes to a file."""
    log = log_file(runs, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "seqrl_cli", *words, "--runs-dir", str(runs)]
    with log.open("a", encoding="utf-8") as messages, output_file(runs, name).open("w", encoding="utf-8") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=messages, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)


def log_file(runs: Path, name: str) -> Path:
    """Where the messages of a name's commands go."""
    return runs / "logs" / f"{name}.log"


def output_file(runs: Path, name: str) -> Path:
    """Where the result of a name's latest command goes."""
    return runs / "logs" / f"{name}.out"


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)
