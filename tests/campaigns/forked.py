"""Running thousands of commands and readers: each in a fork of one process that has imported everything once."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import resource
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import seqrl_cli
from seqrl_cli.__main__ import main
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError
from tests.campaigns.common import MAX_SECONDS, PATIENCE, Outcome, read_back

ADDRESS_SPACE = 6 * 2**30
"""Bytes that a child may ask for; far above what is allowed, and below what would harm the machine."""

LARGEST_FILE = 2**30

LATE = (
    *("gymnasium.envs", "mujoco", "h5py", "yaml", "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL"),
    *("torch._dynamo", "torch.fx.experimental.symbolic_shapes"),  # an optimizer's first step imports 800 modules
    *("gymnasium.envs.mujoco.hopper_v5", "matplotlib.backends.backend_pdf", "PIL.GifImagePlugin"),
)
"""What takes seconds to import, and what commands import when they need it."""


def import_everything() -> None:
    """Import all of the package, and what it imports late, so that the children need not."""
    skipped = ("__main__", "worker")  # both act when they are imported
    for module in pkgutil.walk_packages(seqrl_cli.__path__, "seqrl_cli."):
        if module.name.rpartition(".")[2] not in skipped:
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def command(words: Sequence[str], folder: Path, seconds: float = PATIENCE) -> Outcome:
    """Run the command line in ``folder``, as :func:`run_program` does, in a fork of this process."""

    return forked(lambda: command_line(words), folder, seconds)


def command_line(words: Sequence[str]) -> None:
    """What the executable does with these words, in this process."""
    sys.argv = ["seqrl", *words]
    sys.modules["__main__"] = sys.modules[main.__module__]  # which processes import that it starts
    main()


def reading(read: Callable[[], object], folder: Path, seconds: float = PATIENCE) -> Outcome:
    """Call a reader in a fork; it prints a SeqrlError as the command line does, and others as a traceback."""

    def act() -> None:
        try:
            read()
        except SeqrlError as error:
            Console().fail(error.message, error.hint, error.exit_code)
            sys.exit(error.exit_code)

    return forked(act, folder, seconds)


def forked(act: Callable[[], object], folder: Path, seconds: float) -> Outcome:
    """Call a function in a fork of this process, in a process group that is killed after ``seconds``."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        sys.stdout.flush()
        sys.stderr.flush()
        usual = _resident_bytes()
        child = os.fork()
        if child == 0:
            _become_child(act, folder, stdout.fileno(), stderr.fileno())
        _wait(child, seconds)
        _, status, usage = os.wait4(child, 0)
        return Outcome(
            os.waitstatus_to_exitcode(status),
            read_back(stdout),
            read_back(stderr),
            usage.ru_utime + usage.ru_stime,
            max(usage.ru_maxrss * 1024 - usual, 0),
        )


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _wait(child: int, seconds: float) -> None:
    """Wait until the child ends; after ``seconds``, kill it and its own children."""
    descriptor = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(seconds * 1000):
            os.killpg(child, signal.SIGKILL)
    finally:
        os.close(descriptor)


def _become_child(act: Callable[[], object], folder: Path, stdout: int, stderr: int) -> NoReturn:
    """Act within limits with these streams, and end without what Python does at its end."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.chdir(folder)
        _limit()
        code = _exit_code(act)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)


def _limit() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))


def _exit_code(act: Callable[[], object]) -> int:
    try:
        act()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
