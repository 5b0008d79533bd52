"""What campaigns share: their arguments and last line, running the program within limits, and the verdict on it."""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0
"""How long a command on a bad input may compute."""

MAX_SECONDS = 120
"""After how many seconds of computing a process of a command is killed."""

PATIENCE = 60 * SECONDS
"""After how many seconds a command is killed that waits for ever; a busy machine must not be taken for that."""

MEMORY = 2**30
"""How many bytes a command on a bad input may take, above what the program takes by itself."""

PROGRAM_BYTES = 600 * 2**20
"""What the program takes by itself once PyTorch and the environments are imported."""

CODES = (0, 1, 2, 130)
FAULTS = ("Traceback (most recent call last)", "internal error", "a fault in seqrl itself", "Fatal Python error")


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code (negative: the signal), output, seconds of computing, bytes above the usual."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    extra_bytes: int = 0


@dataclass(frozen=True)
class Trial:
    """One attempt: what is tried, enough to repeat it, and a function that tries it in an empty folder.

    The function says what went wrong; an empty text means that nothing did.
    """

    name: str
    attempt: Callable[[Path], str]


def run_program(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, seconds: float = PATIENCE
) -> Outcome:
    """Run the real command line in a process group of its own, which is killed after ``seconds``.

    It is also killed once it has computed for ``MAX_SECONDS``. ``environment`` is added to this process's own. The
    outcome of a killed command has code -9.
    """
    command = [sys.executable, "-m", "seqrl_cli", *words]
    usual = max(PROGRAM_BYTES, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
        timer = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
        return Outcome(
            process.returncode,
            read_back(stdout),
            read_back(stderr),
            usage.ru_utime + usage.ru_stime,
            max(usage.ru_maxrss * 1024 - usual, 0),
        )


def read_back(file) -> str:
    """What was written to a temporary file, as text."""
    file.seek(0)
    return file.read().decode(errors="backslashreplace")


def verdict(outcome: Outcome, codes: Sequence[int] = CODES, seconds: float = SECONDS, memory: int = MEMORY) -> str:
    """What is wrong with an outcome: an empty text if it is a result, or an error of one sentence within the limits."""
    text = outcome.stdout + outcome.stderr
    found = [fault for fault in FAULTS if fault in text]
    if found:
        line = next(line for line in text.splitlines() if found[0] in line)
        return f"{line[:200]} … {text.strip().splitlines()[-1][:200]}" if line.startswith("Trace") else line[:300]
    if outcome.code not in codes:
        return f"exit code {outcome.code} after computing for {outcome.seconds:.1f} s: {text.strip()[-200:]}"
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    if outcome.code and len(errors) != 1 and '"error"' not in outcome.stdout:  # with --json it is one object
        return f"{len(errors)} error lines with exit code {outcome.code}: {text.strip()[-200:]}"
    if outcome.seconds > seconds:
        return f"computed for {outcome.seconds:.1f} s"
    if outcome.extra_bytes > memory:
        return f"took {outcome.extra_bytes / 2**20:.0f} MiB"
    return ""


def failures(trials: Sequence[Trial], numbers: Sequence[int], seed: int) -> list[str]:
    """Try these trials, each in an empty folder, and print and return a line for each that fails."""
    lines = []
    said = time.monotonic()
    for index, number in enumerate(numbers):
        if time.monotonic() - said > 30:
            print(f"{index} of {len(numbers)} tried", file=sys.stderr, flush=True)
            said = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            problem = _attempt(trials[number], Path(folder))
        if problem:
            lines.append(f"FAILED --seed {seed} --only {number}: {trials[number].name}: {problem}")
            print(lines[-1].encode("utf-8", "backslashreplace").decode(), flush=True)
    return lines


def _attempt(trial: Trial, folder: Path) -> str:
    """What went wrong; an exception is the campaign's own fault, and must not end it."""
    try:
        return trial.attempt(folder)
    except Exception as error:
        return f"the campaign itself failed: {type(error).__name__}: {error}"


def sample(trials: Sequence[Trial], count: int | None, seed: int) -> list[int]:
    """Numbers of ``count`` trials drawn with this seed, in order; all for None."""
    if count is None or count >= len(trials):
        return list(range(len(trials)))
    return sorted(random.Random(seed).sample(range(len(trials)), count))


def main(name: str, make_trials: Callable[[int], Sequence[Trial]]) -> None:
    """Run a campaign from the command line; exit code 1 if a trial failed.

    Args:
        name: of the module, ``python -m tests.campaigns.NAME``.
        make_trials: from a seed to all trials, always the same ones for the same seed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.campaigns.{name}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, help="try so many, drawn by the seed; by default all")
    parser.add_argument("--only", type=int, action="append", help="try this number; repeatable")
    arguments = parser.parse_args()
    trials = make_trials(arguments.seed)
    numbers = arguments.only or sample(trials, arguments.trials, arguments.seed)
    lines = failures(trials, numbers, arguments.seed)
    print(f"{len(numbers)} tried, {len(lines)} failed")
    sys.exit(1 if lines else 0)
