"""Trackers beside a run, each in a process of its own, which reads what the run writes.

Whatever a tracker does, the run does not notice: it neither waits nor fails, and its random numbers are its own. Only
at the end it gives the trackers some seconds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.console import Console, duration, typed_command
from seqrl_cli.files.atomic import make_folder
from seqrl_cli.files.log_tail import last_error, last_lines
from seqrl_cli.files.regular import open_own
from seqrl_cli.stops import kill_group

PATIENCE = 30.0
"""Seconds that a tracker has after the run has ended."""

PUSH_PATIENCE = 600.0
"""Seconds for the last checkpoint to reach its URL."""

_MOMENT = 2.0  # seconds of waiting that need no word
_LOG = "log.txt"


@dataclass(frozen=True)
class TrackerProcess:
    """A process beside a run.

    Attributes:
        command: the command that the process runs.
        process: reads the end of the run from its stdin, which closes.
        log: file that holds what it printed.
    """

    command: Command
    process: subprocess.Popen[bytes]
    log: Path


@dataclass(frozen=True)
class Command:
    """What runs beside a run.

    Attributes:
        name: name of the tracker, or ``push``.
        words: the command line.
        again: the command that does by hand what is left.
    """

    name: str
    words: Sequence[str]
    again: str

    @property
    def hint(self) -> str:
        """What the user can do about a failure."""
        return f"the run itself is not affected, and `{self.again}` sends the rest"


def push_command(run: Path, runs_dir: Path, url: str) -> Command:
    """What pushes a run after each checkpoint until its stdin closes."""
    words = ("runs", "push", str(run), url, "--runs-dir", str(runs_dir))
    return Command("push", _process(*words, "--follow", "--quiet"), typed_command(*words))


def track_command(run: Path, runs_dir: Path, name: str, project: str) -> Command:
    """What sends a run to a tracker until its stdin closes."""
    words = ("runs", "track", str(run), "--to", name, "--project", project, "--runs-dir", str(runs_dir))
    return Command(name, _process(*words, "--follow"), typed_command(*words))


def _process(*words: str) -> list[str]:
    return [sys.executable, "-m", "seqrl_cli", *words]


@contextmanager
def followed(
    run: Path,
    runs_dir: Path,
    names: Sequence[str],
    console: Console,
    *,
    push: str | None = None,
    project: str = "seqrl",
) -> Iterator[None]:
    """Let trackers follow a run for a block, and push its checkpoints.

    Args:
        run: the run's folder, with its record.
        runs_dir: the run directory.
        names: names of the trackers.
        console: says which processes are waited for, fail or take too long.
        push: the URL to push to after each checkpoint; None for none.
        project: the project under which trackers keep the run.
    """
    tracks = [track_command(run, runs_dir, name, project) for name in names]
    pushes = [] if push is None else [push_command(run, runs_dir, push)]
    with (
        processes_beside(run / "trackers", pushes, console.warn, PUSH_PATIENCE, console.note),
        processes_beside(run / "trackers", tracks, console.warn, PATIENCE, console.note),
    ):
        yield


@contextmanager
def processes_beside(
    folder: Path,
    commands: Sequence[Command],
    on_warning: Callable[[str], None],
    patience: float = PATIENCE,
    on_wait: Callable[[str], None] = lambda text: None,
) -> Iterator[None]:
    """Let processes follow a run for the block; their stdin closes at its end.

    Args:
        folder: folder for what the processes print.
        commands: what to start.
        on_warning: called for each that fails or takes too long.
        patience: seconds to wait for all of them after the block.
        on_wait: called for each that is waited for longer than a moment.
    """
    started = [one for command in commands if (one := _start(folder, command, on_warning))]
    try:
        yield
    finally:
        for one in started:
            assert one.process.stdin is not None
            with suppress(OSError):
                one.process.stdin.close()
        for one in started:
            _finish(one, on_warning, patience, on_wait)


def tracker_folder(folder: Path, name: str) -> Path:
    """A tracker's folder among those of a run."""
    return folder / _safe(name)


def _start(folder: Path, command: Command, on_warning: Callable[[str], None]) -> TrackerProcess | None:
    """Start a process; a failure is only a warning."""
    try:
        log = make_folder(tracker_folder(folder, command.name)) / _LOG
        with open_own(log, "ab") as output:
            process = subprocess.Popen(
                command.words, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
    except Exception as error:
        on_warning(f"{command.name} could not be started: {error}")
        return None
    return TrackerProcess(command, process, log)


def _finish(
    one: TrackerProcess, on_warning: Callable[[str], None], patience: float, on_wait: Callable[[str], None]
) -> None:
    """Wait for a tracker's process, and end it if it takes too long."""
    name, again = one.command.name, one.command.hint
    try:
        code = _waited(one, patience, on_wait)
    except subprocess.TimeoutExpired:
        kill_group(one.process.pid)
        one.process.kill()
        one.process.wait()
        on_warning(f"{name} was not ready {patience:.0f} s after the run had ended; {again}")
        return
    if code:
        on_warning(f"{name} failed: {_last_line(one.log)}; {again}")


def _waited(one: TrackerProcess, patience: float, on_wait: Callable[[str], None]) -> int:
    """The exit code of a process.

    Raises:
        TimeoutExpired: it did not end in time.
    """
    with suppress(subprocess.TimeoutExpired):
        return one.process.wait(min(_MOMENT, patience))
    if patience > _MOMENT:
        on_wait(f"waiting at most {duration(patience)} for {one.command.name} to finish …")
    return one.process.wait(max(patience - _MOMENT, 0.0))


def _last_line(log: Path) -> str:
    """The error at the end of what a tracker printed."""
    try:
        lines = last_lines(log)
    except OSError:
        return "it printed nothing"
    printed = [line for line in lines if line.strip()]
    return last_error(lines) or (printed[-1] if printed else "it printed nothing")


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
