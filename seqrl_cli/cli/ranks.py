"""Several processes that train one run: those that torchrun started, and those that ``--devices`` starts here.

Both find their place in torchrun's environment variables. ``--devices`` is torchrun for one machine with this program's
manners: it passes signals on, stops all processes if one dies, and ends with the leader's exit code.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from seqrl_cli.console import Console
from seqrl_cli.errors import UsageError
from seqrl_cli.stops import handling_stops
from seqrl_cli.training.placement import Placement

RENDEZVOUS = "SEQRL_RENDEZVOUS"
_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")

GRACE = 30.0
"""Seconds that the other processes have to end by themselves after one has died, and again after SIGTERM."""

_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1


def placement() -> Placement | None:
    """The place of this process among several; None if it is alone."""
    found = [os.environ.get(name, "") for name in _NAMES]
    if not all(value.isdecimal() for value in found) or int(found[1]) < 2:
        return None
    rank, size, local_rank, local_size = map(int, found)
    return Placement(rank, size, local_rank, local_size, os.environ.get(RENDEZVOUS, "env://"))


def refuse_several(command: str) -> None:
    """Stop at a command that torchrun started several times.

    Raises:
        UsageError: it did.
    """
    place = placement()
    if place is not None:
        message = f"{command} computes in one process, but {place.size} were started"
        raise UsageError(message, "start it without torchrun; only `seqrl train` computes in several")


def console_of(place: Placement | None) -> Console | None:
    """The console of a process that does not lead, which is silent; None for others, who have the usual one."""
    return None if place is None or place.rank == 0 else FollowerConsole(place)


class FollowerConsole(Console):
    """Says nothing but errors that no other process says."""

    def __init__(self, place: Placement) -> None:
        super().__init__(quiet=True)
        self._place = place

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    def show(self, renderable: object) -> None:
        """Say nothing."""

    def fail(self, message: str, hint: str, code: int) -> None:
        """Print an error of this process; an interruption and wrong usage are the leader's to report."""
        if message and code == 1:
            super().fail(f"rank {self._place.rank} on {socket.gethostname()}: {message}", hint, code)


def start(count: int) -> int:
    """Run this command line in several processes on this machine, and return the exit code.

    Args:
        count: processes.
    """
    with tempfile.TemporaryDirectory(prefix="seqrl-") as folder:
        shared = _environment(count, Path(folder))
        children: list[subprocess.Popen[bytes]] = []

        def pass_on(number: int, frame: FrameType | None) -> None:
            for child in children:
                if child.poll() is None:
                    child.send_signal(number)

        with handling_stops(pass_on):
            die_with_parent = _death_signal()
            for rank in range(count):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                command = [sys.executable, "-m", "seqrl_cli", *sys.argv[1:]]
                options = {"env": {**shared, **own}, "start_new_session": True, "preexec_fn": die_with_parent}
                children.append(subprocess.Popen(command, **options))  # type: ignore[call-overload]
            _wait(children)
    return _exit_code([child.returncode for child in children])


def _environment(count: int, folder: Path) -> dict[str, str]:
    """What all processes find in their environment; what the user has set stays."""
    shared = {**os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    shared[RENDEZVOUS] = (folder / "rendezvous").as_uri()
    shared.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // count)))
    if Path("/sys/class/net/lo").exists():
        shared.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return shared


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for all; once one has failed, the others must end soon."""
    deadline, last = None, signal.SIGTERM
    while any(child.poll() is None for child in children):
        failed = any(child.returncode for child in children)
        if failed and deadline is None:
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            for child in children:
                if child.poll() is None:
                    child.send_signal(last)
            deadline, last = time.monotonic() + GRACE, signal.SIGKILL
        time.sleep(_POLL_SECONDS)


def _exit_code(codes: Sequence[int]) -> int:
    """The leader's exit code, or the first other one that is not 0; names those that a signal killed."""
    for rank, code in enumerate(codes):
        if code < 0:
            print(f"error: rank {rank} was killed by {signal.Signals(-code).name}", file=sys.stderr)
    first = next((code for code in codes if code), 0)
    return 1 if first < 0 else first


def _death_signal() -> Callable[[], None] | None:
    """Called in a child before its program: lets Linux send it SIGTERM when this process is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask
