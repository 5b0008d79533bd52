"""Kill commands outright, run them again, and compare with a run that was never killed.

``python -m tests.campaigns.kill --seed N [--trials N]``. Three quarters of the kills come at an operation on a file of
the run directory, the others at a moment. Afterwards the same command must end well, with the same weights, buffers,
actions and data, with no file more or fewer than without the kill, and with no lock left.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from seqrl_cli.runs.lock import is_locked
from tests.campaigns.common import Trial, main
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN, TINY_TUNE, succeed
from tests.processes import ENVIRONMENT

DATA = "sim/hopper-medium"
ODT_PLAN = ("--episodes", "2", "plan.max_steps=6")

COMMANDS: dict[str, tuple[str, ...]] = {
    "download": ("download", "sim/hopper-random", "data.transitions=400"),
    "train-new": ("train", "sim/hopper-random", "data.transitions=400", *TINY_TRAIN),
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
    "render": ("render", f"{DATA}/gpt", "--size", "64"),
    "plot": ("plot", f"{DATA}/gpt"),
}
"""By name, with words that take a second or two."""

EACH = 4
"""Kills per command and seed, which makes 72 trials."""

COMPARED = (".safetensors", ".h5", ".hdf5", ".pt", ".npz", ".png")
LOCKS = (".lock", ".lock-holder")


@dataclass(frozen=True)
class Reference:
    """What a command leaves that is not killed: hashes and sizes by name, and its operations and seconds."""

    files: dict[str, str]
    sizes: dict[str, int]
    operations: int
    seconds: float


@cache
def prepared() -> Path:
    """A folder with a run directory that has data, runs and plans, and an exported model."""
    folder = Path(tempfile.mkdtemp(prefix="campaign-kill-"))
    runs = folder / "runs"
    succeed(runs, "download", DATA, "data.transitions=1500")
    succeed(runs, "train", DATA, *TINY_TRAIN, "--name", "gpt")
    succeed(runs, "train", DATA, *TINY_ODT, "--name", "odt")
    succeed(runs, "plan", f"{DATA}/gpt", *TINY_PLAN)
    succeed(runs, "export", f"{DATA}/gpt", "-o", folder / "exported")
    return folder


@cache
def reference(name: str) -> Reference:
    """Run a command without a kill, in a copy of what is prepared."""
    with tempfile.TemporaryDirectory(prefix="campaign-kill-") as text:
        folder = fresh(Path(text))
        begin = time.monotonic()
        process = start(folder, name, 0)
        errors = process.communicate()[1]
        assert process.returncode == 0, f"{name} fails without a kill: {errors}"
        seconds = time.monotonic() - begin
        files = contents(folder)
        sizes = {name: (folder / name).stat().st_size for name in files}
        return Reference(files, sizes, int((folder / "counted").read_text()), seconds)


def fresh(folder: Path) -> Path:
    """Copy what is prepared into an empty folder."""
    shutil.copytree(prepared(), folder, dirs_exist_ok=True)
    return folder


def start(folder: Path, name: str, at: int) -> subprocess.Popen:
    """Start a command in a folder, to die before its ``at``-th operation, or not by itself for 0."""
    words = ["tests.campaigns.dying", str(folder / "runs"), str(at), str(folder / "counted"), *COMMANDS[name]]
    environment = {**ENVIRONMENT, "PYTHONPATH": os.getcwd(), "SEQRL_RUNS": str(folder / "runs")}
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(folder: Path) -> dict[str, str]:
    """Every file below the run directory, with a hash where its bytes must be the same."""
    found = {}
    for path in sorted((folder / "runs").rglob("*")):
        if path.is_file() and path.name not in LOCKS:
            compared = path.suffix in COMPARED or path.name == "last"
            name = path.relative_to(folder).as_posix()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if compared else ""
    return found


def attempt(folder: Path, name: str, draw: float, by_operation: bool) -> str:
    """Kill a command once, run it again, and say what differs from a run without a kill."""
    expected = reference(name)
    fresh(folder)
    if by_operation:
        process = start(folder, name, 1 + int(draw * expected.operations))
        process.communicate()
    else:
        process = start(folder, name, 0)
        try:
            process.communicate(timeout=draw * expected.seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    again = start(folder, name, 0)
    errors = again.communicate()[1]
    if again.returncode:
        return f"the same command ends with {again.returncode}: {errors.strip()[-300:]}"
    return differences(folder, contents(folder), expected.files)


def differences(folder: Path, found: dict[str, str], expected: dict[str, str]) -> str:
    """What is left over, missing, different, torn or locked."""
    problems = [f"left over: {path}" for path in found.keys() - expected.keys()]
    problems += [f"missing: {path}" for path in expected.keys() - found.keys()]
    problems += [f"different: {path}" for path in found.keys() & expected.keys() if found[path] != expected[path]]
    problems += [f"locked: {path.parent}" for path in (folder / "runs").rglob(".lock") if is_locked(path.parent)]
    for path in (folder / "runs").rglob("*.jsonl"):
        try:
            [json.loads(line) for line in path.read_text().splitlines()]
        except ValueError:
            problems.append(f"torn: {path}")
    return "; ".join(sorted(problems))


def trials(seed: int) -> list[Trial]:
    """Four kills of each command."""
    random_ = random.Random(seed)
    found = []
    for round_ in range(EACH):
        for name in COMMANDS:
            draw, by_operation = random_.random(), round_ != EACH - 1
            kind = "operation" if by_operation else "moment"
            found.append(
                Trial(
                    f"{name}, killed at {kind} {draw:.4f} of the whole",
                    lambda folder, name=name, draw=draw, by=by_operation: attempt(folder, name, draw, by),
                )
            )
    return found


if __name__ == "__main__":
    try:
        main("kill", trials)
    finally:
        if prepared.cache_info().currsize:
            shutil.rmtree(prepared())
