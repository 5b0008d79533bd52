"""Processes that tests start, wait for and look after."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(runs: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "seqrl_cli", *words, "--runs-dir", str(runs)]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


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
