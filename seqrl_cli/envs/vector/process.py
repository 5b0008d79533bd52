"""A process at the other end of a pipe, which may die or hang, and ends with this one."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from seqrl_cli.stops import kill_group, stops_held_back

_PATIENCE = 5.0  # seconds for a process to end by itself
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from {module} import main; main(sys.argv[1])"


class ProcessDiedError(Exception):
    """A process has ended.

    Attributes:
        how: ``died of signal 6 (SIGABRT)``, ``ended with exit code 3``.
        hint: advice on what the user can try.
        killed: whether something ended it, which is most often for lack of memory.
    """

    def __init__(self, code: int) -> None:
        if code >= 0:
            self.how = f"ended with exit code {code}"
        else:
            names = {each.value: each.name for each in signal.Signals}
            self.how = f"died of signal {-code} ({names.get(-code, 'unnamed')})"
        self.killed = self.how.endswith("(SIGKILL)")  # a signal that Windows does not have
        self.hint = (
            "fewer environments need less memory" if self.killed else "PYTHONFAULTHANDLER=1 shows where in its code"
        )


class NoAnswerError(Exception):
    """A process gave no answer in time, and was ended."""


class PipedProcess:
    """A Python process that runs ``main(argument)`` of a module, with the same ``sys.path`` as this one.

    Args:
        module: name of the module whose ``main`` it runs.
        argument: the argument that ``main`` receives.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, module: str, argument: str) -> None:
        command = [sys.executable, "-c", _PROGRAM.format(module=module), argument, *sys.path]
        # a session of its own, because a terminal's Ctrl-C reaches every process of the session's foreground
        with stops_held_back():
            self._process = _started(command)
        assert self._process.stdin and self._process.stdout
        self.requests: IO[bytes] = self._process.stdin
        self.answers: IO[bytes] = self._process.stdout

    @property
    def has_ended(self) -> bool:
        """Whether it was ended here, so that another process may have its id."""
        return self.answers.closed

    def death(self) -> ProcessDiedError:
        """How a process ended that has ended."""
        return ProcessDiedError(self._process.wait())

    def close(self) -> None:
        """End the process, gently if it listens."""
        if self.has_ended:
            return
        with suppress(OSError):  # a dead process did not read everything
            self.requests.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()
            self.answers.close()
            self._process.wait()

    def kill(self) -> None:
        """End the process at once, with the processes of its group, which it forked."""
        kill_group(self._process.pid)
        self._process.kill()

    def await_answer(self, timeout: float) -> None:
        """Wait until the process writes or ends.

        Raises:
            NoAnswerError: it does neither in time.
        """
        if hasattr(select, "poll"):  # not on Windows
            watch = select.poll()
            watch.register(self.answers, select.POLLIN)
            if not watch.poll(min(1000 * timeout, 2**31 - 1)):
                raise NoAnswerError


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
