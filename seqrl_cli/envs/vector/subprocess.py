"""Environments in a process of their own: when it dies, the program starts another one and continues.

Environments compute in native code. When that crashes, or memory runs out, the whole process ends without a
message. Little is lost: an episode follows from its seed and its actions.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TypeVar

import numpy as np

from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.trust import require_accepted
from seqrl_cli.envs.vector.backend import EnvLayout, EnvSpec, forget_step
from seqrl_cli.envs.vector.messages import FAILED, START, STEP, pack_start, pack_step, receive, send, unpack_failure
from seqrl_cli.stops import stops_held_back

Answer = TypeVar("Answer")

_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from seqrl_cli.envs.vector.worker import main; main(sys.argv[1])"
ANSWER_SECONDS = 300.0  # to make, reset or step all environments
_PATIENCE = 5.0  # seconds for a process to end by itself
_SHOWN = ("observation", "qpos", "qvel")


@dataclass
class _Episode:
    """An episode in progress: everything that it follows from."""

    seed: int
    actions: list[np.ndarray] = field(default_factory=list)


class SubprocessBackend:
    """Environments in a process of their own, which is started again when it dies.

    An environment is deterministic given a seed and actions. So a new process replays the episodes in progress, with
    the results of a process that never died. A process that gives no answer is ended after ``timeout``, and not started
    again, because it would most likely hang again.

    Args:
        spec: which environments.
        on_warning: called when a process dies.
        timeout: seconds to wait for an answer; without effect on Windows.

    Raises:
        EnvironmentFailedError: one broke when it was made.
        SeqrlError: there is no such environment, or its observations or actions are neither boxes nor choices.
    """

    def __init__(
        self, spec: EnvSpec, on_warning: Callable[[str], None] | None = None, timeout: float = ANSWER_SECONDS
    ) -> None:
        require_accepted(spec.env_id)
        self._spec = spec
        self._on_warning = on_warning
        self._timeout = timeout
        self._child: _Child | None = None
        self._under_way: dict[int, _Episode] = {}
        self.layout = self._insist(lambda: "when it was made", lambda child: child.layout)
        self.rows = np.zeros(spec.num_envs, self.layout.row)

    def start(self, index: int, seed: int) -> None:
        """Reset one environment.

        Raises:
            EnvironmentFailedError: it broke, or killed its process twice.
        """
        self._under_way.pop(index, None)
        rows = self._insist(lambda: "when it was reset", lambda child: child.start(index, seed))
        self._under_way[index] = _Episode(seed)
        forget_step(self.rows)
        self.rows[index] = rows[index]

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step the chosen environments.

        Raises:
            EnvironmentFailedError: one broke, or killed their process twice.
        """
        indices = np.flatnonzero(chosen).tolist()
        if not indices:  # no process is needed
            forget_step(self.rows)
            return
        rows = self._insist(lambda: self._in_step(indices), lambda child: child.step(actions, chosen))
        forget_step(self.rows)
        self.rows[chosen] = rows[chosen]
        for index in indices:
            self._under_way[index].actions.append(actions[index].copy())
            if rows["terminated"][index] or rows["truncated"][index]:
                del self._under_way[index]

    def close(self) -> None:
        """Free the environments and end their process."""
        if self._child:
            self._child.close()
            self._child = None

    def _insist(self, when: Callable[[], str], ask: Callable[[_Child], Answer]) -> Answer:
        """Ask the process, or a new one in its place; a request that kills two in a row would kill any.

        Raises:
            EnvironmentFailedError: it broke, gave no answer in time, or killed two processes.
        """
        for is_last in (False, True):
            try:
                if self._child is None:
                    self._child = self._caught_up()
                return ask(self._child)
            except _ProcessDiedError as death:
                self._child = None
                what = f"the process of environment {self._spec.env_id} {death.how} {when()}"
                if is_last:
                    raise EnvironmentFailedError(f"{what}, and so did the next one", death.hint) from None
                if self._on_warning:
                    self._on_warning(f"{what}: it is started again")
            except _NoAnswerError:
                self._child = None
                message = f"environment {self._spec.env_id} gave no answer for {self._timeout:g} seconds {when()}"
                raise EnvironmentFailedError(f"{message}, and was ended", "--env-timeout waits longer") from None
        raise AssertionError("the loop returns or raises")

    def _in_step(self, indices: list[int]) -> str:
        """The step in which these environments are; which of them crashed is unknown."""
        numbers = {len(self._under_way[index].actions) + 1 for index in indices}
        first, last = min(numbers), max(numbers)
        return f"in step {first:,}" if first == last else f"in steps {first:,} to {last:,} of its episodes"

    def _caught_up(self) -> _Child:
        """A new process in place of the old one.

        Raises:
            EnvironmentFailedError: an episode in progress cannot be repeated, or an environment broke.
            _ProcessDiedError: the process did not survive it.
            _NoAnswerError: it took too long.
        """
        child = _Child(self._spec, self._timeout)
        try:
            self._catch_up(child)
        except BaseException:  # half a start is of no use
            child.close()
            raise
        return child

    def _catch_up(self, child: _Child) -> None:
        """Replay the episodes in progress.

        Raises:
            EnvironmentFailedError: one cannot be repeated.
        """
        for index, episode in self._under_way.items():
            rows = child.start(index, episode.seed)
            actions = np.zeros((len(rows), *self.layout.spaces.action.shape))
            chosen = np.arange(len(rows)) == index
            for action in episode.actions:
                actions = actions.astype(action.dtype, copy=False)
                actions[index] = action
                rows = child.step(actions, chosen)
            if any(rows[name][index].tobytes() != self.rows[name][index].tobytes() for name in _SHOWN):
                raise EnvironmentFailedError(
                    f"the process of environment {self._spec.env_id} died, and its episode cannot continue: replayed "
                    f"with the same seed and actions, step {len(episode.actions):,} shows something else",
                    "episodes must depend on the seed of reset and the actions alone",
                )


class _ProcessDiedError(Exception):
    """A process has ended.

    Attributes:
        how: ``died of signal 6 (SIGABRT)``, ``ended with exit code 3``.
        hint: what the user can try.
    """

    def __init__(self, code: int) -> None:
        if code >= 0:
            self.how = f"ended with exit code {code}"
        else:
            names = {each.value: each.name for each in signal.Signals}
            self.how = f"died of signal {-code} ({names.get(-code, 'unnamed')})"
        killed = self.how.endswith("(SIGKILL)")  # a signal that Windows does not have
        self.hint = "fewer environments need less memory" if killed else "PYTHONFAULTHANDLER=1 shows where in its code"


class _NoAnswerError(Exception):
    """A process gave no answer in time, and was ended."""


class _Child:
    """A running process and its environments.

    Args:
        spec: which environments.
        timeout: seconds to wait for an answer.

    Raises:
        SeqrlError: they cannot be made.
        _ProcessDiedError: the process did not survive it.
        _NoAnswerError: it took too long.
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
        if hasattr(os, "killpg"):  # not on Windows
            with suppress(OSError):  # none is left
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def _ask(self, *question: bytes) -> bytes:
        """Send a message's kind and body, or nothing, and wait for the answer.

        Raises:
            SeqrlError: what went wrong in the process.
            _ProcessDiedError: it has ended.
            _NoAnswerError: it took too long, and was ended.
        """
        if self._answers.closed:  # Ctrl-C ended it
            raise _ProcessDiedError(self._process.wait())
        try:
            if question:
                with suppress(BrokenPipeError):  # the answer is missing, then
                    send(self._requests, *question)
            self._await_answer()
            kind, body = receive(self._answers)
        except EOFError:
            self.close()
            raise _ProcessDiedError(self._process.wait()) from None
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
            _NoAnswerError: it does neither in time.
        """
        if hasattr(select, "poll"):  # not on Windows
            watch = select.poll()
            watch.register(self._answers, select.POLLIN)
            if not watch.poll(min(1000 * self._timeout, 2**31 - 1)):
                raise _NoAnswerError
