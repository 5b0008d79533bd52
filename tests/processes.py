"""Processes that tests start, wait for and look after."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(runs: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "seqrl_cli", *words, "--runs-dir", str(runs)]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def preloaded(source: str, **variables: str) -> dict[str, str]:
    """An environment in which a C file of this folder stands between a process and the system's functions."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    path = Path(__file__).with_name(source)
    library = Path(tempfile.gettempdir()) / f"seqrl-tests-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", part, path, "-ldl"], check=True)
        part.rename(library)
    return {**ENVIRONMENT, **variables, "LD_PRELOAD": str(library)}


def lockless(number: int) -> dict[str, str]:
    """An environment in which no file can be locked: trying to gives this error."""
    return preloaded("no_locks.c", NO_LOCKS=str(number))


def without_locks(number: int, runs: Path, *words: str) -> subprocess.CompletedProcess:
    """Run a command to its end where no file can be locked."""
    command = [sys.executable, "-m", "seqrl_cli", *words, "--runs-dir", str(runs)]
    return subprocess.run(command, env=lockless(number), capture_output=True, text=True)


def wait_for(process: subprocess.Popen, path: Path) -> None:
    """Until the process has made the file; it must not end before."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {path} after two minutes"
        os.sched_yield()


def until(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children() -> list[psutil.Process]:
    """Living environment processes of this one, which may have others, of Python's own workers for example."""
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if any("seqrl_cli.envs.vector.worker" in word for word in child.cmdline())]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return open(f"/proc/{pid}/stat").read().split()[2] != "Z"
