"""One task: a few seqrl commands, one after the other, started again if they die."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seqrl_cli.console import typed_command
from seqrl_cli.files.log_tail import last_error, last_lines
from seqrl_cli.files.regular import open_own
from seqrl_cli.runs.holder import holding
from seqrl_cli.runs.lock import is_locked

INTERRUPTED = 130
_BY_SIGNAL = 128  # shells and containers add the signal's number to it
_LOCK_SECONDS = 60.0
_POLL_SECONDS = 0.2
_STDERR = 2  # the descriptor: with --json, stdout is for one object

Words = tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A few commands, each of which begins where it was cut if it is run again.

    Attributes:
        name: name of the task, for people.
        steps: the words of each command after ``seqrl``.
        holder: file that names the process that runs the task, see :func:`~seqrl_cli.runs.holder.has_holder`.
        after: further commands, once all steps are done; the task is done even if they fail.
        root: the run directory, as an absolute path.
        run: folder that the first command writes; None if that is not known.
        log: file that receives what the commands print; None = they print to this process's stderr.
        needs: a file without which a machine does not see the run directory.
        index: place of the task in its sweep, for engines that call ``seqrl sweep run NAME --index``.
    """

    name: str
    steps: tuple[Words, ...]
    root: Path
    run: Path | None = None
    log: Path | None = None
    needs: Path | None = None
    index: int | None = None
    holder: Path | None = None
    after: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Ended:
    """What became of a task.

    Attributes:
        task: the task.
        code: exit code of its last command; negative if a signal ended it.
        attempts: how often commands were started.
        error: what the last command said was wrong; empty if nothing was, or it is not known.
        warning: a message that names which of the commands after the steps failed, and why; empty if none did.
    """

    task: Task
    code: int
    attempts: int = 1
    error: str = ""
    warning: str = ""

    @property
    def done(self) -> bool:
        """Whether every command did what it should."""
        return self.code == 0

    @property
    def reason(self) -> str:
        """Why it is not done, for people."""
        return self.error or code_text(self.code)


@dataclass
class Stop:
    """A switch that ends a task: its command saves and ends, and no other one starts."""

    _event: threading.Event = field(default_factory=threading.Event)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def asked(self) -> bool:
        """Whether the task should end."""
        return self._event.is_set()

    def __call__(self) -> None:
        """Ask the task to end."""
        self._event.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the command at once, without letting it save."""
        self._event.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def watch(self, process: subprocess.Popen[bytes] | None) -> None:
        """Name the process to end."""
        self._process = process
        if self.asked and process is not None:
            self()


def died(code: int) -> bool:
    """Whether a command was ended from outside, so that it is worth starting again; its input is not at fault."""
    return code < 0 or code > _BY_SIGNAL


def code_text(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        return f"ended by signal {-code}"
    if code == INTERRUPTED:
        return "interrupted"
    return f"ended by signal {code - _BY_SIGNAL}" if code > _BY_SIGNAL else f"exit code {code}"


def run_task(task: Task, retries: int = 0, stop: Stop | None = None, say: Callable[[str], None] | None = None) -> Ended:
    """Run the commands of a task one after the other, until one fails.

    Args:
        task: the task.
        retries: the most times that a command that dies is started again.
        stop: ends the task.
        say: told when a command starts again.
    """
    stop = stop or Stop()
    if task.needs is not None and not task.needs.is_file():
        return Ended(task, 1, 0, f"{task.needs} is not on this machine: every node must see the same run directory")
    with ExitStack() as stack:
        if task.holder is not None:
            with suppress(OSError):  # nothing depends on it
                stack.enter_context(holding(task.holder))
        return _run_commands(task, retries, stop, say)


def _run_commands(task: Task, retries: int, stop: Stop, say: Callable[[str], None] | None) -> Ended:
    started = 0
    for words in task.steps:
        code, attempts = _run_until_alive(words, task, retries, stop, say)
        started += attempts
        if code:
            return Ended(task, code, started, "" if died(code) else _last_error(task.log))
    warnings = []
    for words in task.after:
        code, attempts = _run_until_alive(words, task, retries, stop, say)
        started += attempts
        if code == INTERRUPTED:
            return Ended(task, code, started)
        if code:
            reason = "" if died(code) else _last_error(task.log)
            again = typed_command(*words, "--runs-dir", str(task.root))
            warnings.append(f"`{again}` failed: {reason or code_text(code)}")
    return Ended(task, 0, started, warning="; ".join(warnings))


def _run_until_alive(
    words: Words, task: Task, retries: int, stop: Stop, say: Callable[[str], None] | None
) -> tuple[int, int]:
    """Run a command, again if it dies; returns its last exit code and how often it was started."""
    for attempt in range(retries + 1):
        _wait_for_lock(task.run, stop)
        code = INTERRUPTED if stop.asked else _run(words, task, stop)
        if not died(code) or stop.asked or attempt == retries:
            break
        if say:
            say(f"{task.name}: {code_text(code)}; starting it again")
    return code, attempt + 1


def command(words: Words, root: Path) -> list[str]:
    """The command line of a process that ends with this one."""
    return [sys.executable, "-m", "seqrl_cli.launch.tied", *words, "--runs-dir", str(root)]


def _run(words: Words, task: Task, stop: Stop) -> int:
    """Run one command to its end; returns its exit code."""
    with ExitStack() as stack:
        output: IO[bytes] | int = _STDERR
        if task.log is not None:
            task.log.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open_own(task.log, "ab"))
            file.write(f"$ {typed_command(*words)}\n".encode(errors="surrogateescape"))
            file.flush()
            output = file
        # Its own process group, so that Ctrl-C in a terminal reaches this process alone, which then stops all in order.
        process = subprocess.Popen(
            command(words, task.root), stdin=subprocess.PIPE, stdout=output, stderr=output, process_group=0
        )
        stop.watch(process)
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            stop.watch(None)
            if process.stdin:
                process.stdin.close()


def _wait_for_lock(run: Path | None, stop: Stop) -> None:
    """Wait while another process still saves the run: one that was orphaned a moment ago, or is on another node."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while run is not None and not stop.asked and is_locked(run) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _last_error(log: Path | None) -> str:
    """The last error that a command printed to its log; empty if it has none."""
    if log is None or not log.is_file():
        return ""
    return last_error(last_lines(log))
