"""Tasks spread over processes, with results in the order of the tasks.

The standard library's executors lack three things needed here: reporting a dead worker, ending everything at once on
Ctrl-C, and dropping an endless stream of tasks at any time. One pipe per process provides all three.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from seqrl_cli.envs.vector.process import ProcessDiedError
from seqrl_cli.launch.ordered_map import DeadWorkerError, OrderedMap, Result, Task, outcome_of
from seqrl_cli.stops import kill_group, lead_group, leave_stops_to_parent, stops_held_back

_RESULTS_AHEAD = 4
_BEAT = 1.0  # seconds between heartbeats
_LAST_MOMENTS = 5.0  # seconds for a dead process to leave its exit code
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Watch:
    """What to do about a worker process that dies or hangs.

    Attributes:
        name: name of such a process in messages.
        patience: seconds without a heartbeat after which it is ended.
        on_warning: called when one has died and is started again.
        memory_hint: hint for the user where two were killed, most likely for lack of memory.
    """

    name: str = "a worker process"
    patience: float = math.inf
    on_warning: Callable[[str], None] | None = None
    memory_hint: str = "fewer --workers need less memory"


@contextmanager
def worker_map(workers: int, watch: Watch | None = None) -> Iterator[OrderedMap]:
    """A map over new processes with one BLAS thread each; over an iterable that may never end, too.

    A process that dies is started again, and so is its task, once. The processes end immediately when the block ends,
    and by themselves if this process is killed.

    Args:
        workers: number of processes; with one and without ``watch``, the built-in map in this process is used.
        watch: what to do about a process that dies or hangs.

    Raises:
        DeadWorkerError: a task killed two processes, or sent no heartbeat in time.
    """
    is_worker = multiprocessing.current_process().daemon  # which cannot have workers of its own
    if is_worker or (workers == 1 and watch is None):
        yield _map_here
        return
    crew: list[_Worker] = []
    try:
        for _ in range(workers):
            crew.append(_Worker())
        yield _PipeMap(crew, watch or Watch())
    finally:
        for worker in crew:
            worker.end()


def _map_here(
    function: Callable[[Task], Result], tasks: Iterable[Task], /, on_wait: Callable[[], None] | None = None
) -> Iterator[Result]:
    """The map of this process, which never waits."""
    return map(function, tasks)


class _Worker:
    """A process and the pipe to it."""

    def __init__(self) -> None:
        self.process, self.connection = start_worker(_serve)
        self.heard = time.monotonic()
        self.index: int | None = None  # of its task; None while it has none, or one whose result nobody wants
        self.task: tuple[Callable[[Any], Any], Any] | None = None
        self.tries = 0

    def begin(self, index: int | None, task: tuple[Callable[[Any], Any], Any], tries: int = 1) -> None:
        """Send it a task."""
        self.index, self.task, self.tries, self.heard = index, task, tries, time.monotonic()
        with suppress(OSError):  # it has died, which the next look at it tells
            self.connection.send(task)

    def receive(self) -> Callable[[], Any] | None:
        """The outcome of its task, or None if it only tells that it is alive.

        Raises:
            EOFError: it has died.
        """
        if not self.connection.poll():  # the process has ended, and some other one that it started holds the pipe
            raise EOFError
        try:
            outcome: Callable[[], Any] | None = self.connection.recv()
        except OSError as error:
            raise EOFError from error
        self.heard = time.monotonic()
        return outcome

    def end(self) -> int:
        """End the process, if it has not ended; its exit code."""
        end_worker(self.process)
        self.connection.close()
        assert self.process.exitcode is not None
        return self.process.exitcode


class _PipeMap:
    """Gives each idle process the next task; results of a dropped stream are received later and discarded."""

    def __init__(self, crew: list[_Worker], watch: Watch) -> None:
        self._crew = crew
        self._watch = watch
        self._window = _RESULTS_AHEAD * len(crew)

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], /, on_wait: Callable[[], None] | None = None
    ) -> Iterator[Result]:
        remaining = enumerate(tasks)
        done: dict[int, Callable[[], Result]] = {}
        try:
            for due in itertools.count():
                while due not in done:
                    self._give(function, remaining, len(done))
                    is_running = any(worker.index is not None for worker in self._crew)
                    if not is_running and any(worker.task is None for worker in self._crew):
                        return
                    self._receive(done)
                    if on_wait:
                        on_wait()
                yield done.pop(due)()
        finally:
            for worker in self._crew:
                worker.index = None

    def _give(self, function: Callable[[Any], Any], remaining: Iterator[tuple[int, Any]], done: int) -> None:
        """Begin as many tasks as there are idle processes and places for results."""
        idle = [worker for worker in self._crew if worker.task is None]
        running = sum(worker.index is not None for worker in self._crew)
        for index, task in itertools.islice(remaining, max(0, min(len(idle), self._window - done - running))):
            idle.pop().begin(index, (function, task))

    def _receive(self, done: dict[int, Callable[[], Any]]) -> None:
        """Wait until a process has finished a task, died or hung; store what it finished."""
        busy = [worker for worker in self._crew if worker.task is not None]
        ready = wait([source for one in busy for source in (one.connection, one.process.sentinel)], _BEAT)
        for worker in busy:
            if worker.connection in ready or worker.process.sentinel in ready:
                self._hear(worker, done)
            elif time.monotonic() - worker.heard > self._watch.patience + _BEAT:
                worker.end()
                message = f"{self._watch.name} sent no heartbeat for {self._watch.patience:g} seconds, and was ended"
                raise DeadWorkerError(message, "--env-timeout waits longer")

    def _hear(self, worker: _Worker, done: dict[int, Callable[[], Any]]) -> None:
        try:
            outcome = worker.receive()
        except EOFError:
            self._replace(worker)
            return
        if outcome is None:
            return
        if worker.index is not None:
            done[worker.index] = outcome
        worker.index = worker.task = None

    def _replace(self, dead: _Worker) -> None:
        """Start a process in place of a dead one, with its task, unless nobody wants the result.

        Raises:
            DeadWorkerError: the task has killed two processes.
        """
        dead.process.join(_LAST_MOMENTS)
        death = ProcessDiedError(dead.end())
        what = f"{self._watch.name} {death.how}"
        is_wanted = dead.index is not None
        if is_wanted and dead.tries > 1:
            hint = self._watch.memory_hint if death.killed else death.hint
            raise DeadWorkerError(f"{what}, and so did the next one", hint)
        if is_wanted and self._watch.on_warning:
            self._watch.on_warning(f"{what}: it is started again")
        new = _Worker()
        self._crew[self._crew.index(dead)] = new
        if is_wanted and dead.task is not None:
            new.begin(dead.index, dead.task, dead.tries + 1)


class _Pulse:
    """Tells the parent now and then that a task makes progress."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._due = 0.0

    def beat(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._connection.send(None)
            self._due = now + _BEAT


_pulse: _Pulse | None = None


def still_alive() -> None:
    """Tell that a task makes progress, so that its process is not taken for one that hangs; free of cost elsewhere."""
    if _pulse is not None:
        _pulse.beat()


def _serve(connection: Connection) -> None:
    """Run tasks in a worker until its parent ends it or dies."""
    global _pulse
    _pulse = _Pulse(connection)
    while True:
        function, task = connection.recv()
        connection.send(outcome_of(function, task))


def start_worker(act: Callable[..., object], *arguments: object) -> tuple[BaseProcess, Connection]:
    """Start a process with one BLAS thread, which leaves Ctrl-C and its like to this one, and ends when this one ends.

    Args:
        act: called there with the connection to this process and the arguments. Its module is imported only once the
            process leads a group, so that :func:`end_worker` also ends what the import starts.
        arguments: picklable, and like ``act`` of modules, not of the program itself, which no worker runs.

    Returns:
        The process and the connection to it.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_live_as_worker, args=(theirs,), daemon=True)
    with one_thread_each(), stops_held_back(), _program_hidden():
        process.start()
    theirs.close()
    with suppress(OSError):  # it has died, which the next look at it tells
        ours.send((act, arguments))
    return process, ours


def end_worker(process: BaseProcess) -> None:
    """End a worker at once, with all that it has started, if it has not ended."""
    if process.exitcode is None and process.pid is not None:
        kill_group(process.pid)
    process.kill()
    process.join()


def _live_as_worker(connection: Connection) -> None:
    lead_group()
    leave_stops_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has gone, and nobody is left to tell
        act, arguments = connection.recv()
        act(connection, *arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    kill_group(os.getpid())
    os._exit(1)


@contextmanager
def _program_hidden() -> Iterator[None]:
    """Keep processes that are started in the block from running this program first, as ``spawn`` has them do.

    Else each script that uses seqrl would need ``if __name__ == "__main__"``, and without it would run once more in
    every worker.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that are started in the block have one thread each.

    BLAS reads its thread count when it is loaded, so a process must start with it in its environment.
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
