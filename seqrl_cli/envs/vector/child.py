"""A process that plays environments for its parent, which may die or hang meanwhile."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict

import numpy as np

from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.vector.backend import EnvLayout, EnvSpec
from seqrl_cli.envs.vector.messages import FAILED, START, STEP, pack_start, pack_step, receive, send, unpack_failure
from seqrl_cli.stops import kill_group, stops_held_back

_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from seqrl_cli.envs.vector.worker import main; main(sys.argv[1])"
_PATIENCE = 5.0  # seconds for a process to end by itself


class ProcessDiedError(Exception):
    """A process has ended.

    Attributes:
        how: ``died of signal 6 (SIGABRT)``, ``ended with exit code 3``.
        hint: what the user can try.
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


class Child:
    """A running process and its environments.

    Args:
        spec: which environments.
        timeout: seconds to wait for an answer.

    Raises:
        SeqrlError: they cannot be made.
        ProcessDiedError: the process did not survive it.
        NoAnswerError: it took too long.
    """

    def __init__(self, spec: EnvSpec, timeout: float) -> None:
        command = [sys.executable, "-c", _PROGRAM, json.dumps(asdict(spec)), *sys.path]
        try:
            # a session of its own, because a terminal's Ctrl-C reaches every process of the session's foreground
            with stops_held_back():
                pipe = subprocess.PIPE
                process = subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True)
        except OSError as error:
            message = f"no process for environment {spec.env_id} can be started: {error.strerror}"
            raise EnvironmentFailedError(message, "memory may be short") from error
        assert process.stdin and process.stdout
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout
        self._timeout = timeout
        try:
            self.layout = EnvLayout.from_json(self._ask())  # the process sends it unasked
            self._row = self.layout.row
        except BaseException:
            self.close()
            raise

    def start(self, index: int, seed: int) -> np.ndarray:
        """Reset an environment; the rows of all."""
        return np.frombuffer(self._ask(START, pack_start(index, seed)), self._row)

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Step the chosen environments; the rows of all."""
        return np.frombuffer(self._ask(STEP, pack_step(actions, chosen)), self._row)

    def close(self) -> None:
        """End the process, gently if it listens."""
        if self._answers.closed:  # it has ended already, and another process may have its id
            return
        with suppress(OSError):  # a dead process did not read everything
            self._requests.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()
            self._answers.close()
            self._process.wait()

    def _kill(self) -> None:
        """End the process at once, with the processes of its group, which it forked."""
        kill_group(self._process.pid)
        self._process.kill()

    def _ask(self, *question: bytes) -> bytes:
        """Send a message's kind and body, or nothing, and wait for the answer.

        Raises:
            SeqrlError: what went wrong in the process.
            ProcessDiedError: it has ended.
            NoAnswerError: it took too long, and was ended.
        """
        if self._answers.closed:  # Ctrl-C ended it
            raise ProcessDiedError(self._process.wait())
        try:
            if question:
                with suppress(BrokenPipeError):  # the answer is missing, then
                    send(self._requests, *question)
            self._await_answer()
            kind, body = receive(self._answers)
        except EOFError:
            self.close()
            raise ProcessDiedError(self._process.wait()) from None
        except BaseException:  # Ctrl-C: the answer, perhaps sent already, would be taken for that to another question
            self._kill()
            self.close()
            raise
        if kind == FAILED:
            raise unpack_failure(body)
        return body

    def _await_answer(self) -> None:
        """Wait until the process writes or ends.

        Raises:
            NoAnswerError: it does neither in time.
        """
        if hasattr(select, "poll"):  # not on Windows
            watch = select.poll()
            watch.register(self._answers, select.POLLIN)
            if not watch.poll(min(1000 * self._timeout, 2**31 - 1)):
                raise NoAnswerError
