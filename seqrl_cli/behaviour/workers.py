"""Tasks spread over processes, with results in the order of the tasks.

The standard library's executors lack three things needed here: reporting a dead worker, ending everything at once on
Ctrl-C, and dropping an endless stream of tasks at any time. One pipe per process provides all three.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar, cast

from seqrl_cli.errors import SeqrlError
from seqrl_cli.stops import leave_stops_to_parent, stops_held_back

Task = TypeVar("Task")
Result = TypeVar("Result")

_RESULTS_AHEAD = 4
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class DeadWorkerError(SeqrlError):
    """A worker process died in a task."""


class OrderedMap(Protocol):
    """Like the built-in ``map``: lazy, in order, over an iterable that may never end."""

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        """Results of ``function`` over ``tasks``; both must be picklable."""


@contextmanager
def worker_map(workers: int) -> Iterator[OrderedMap]:
    """A map over new processes with one BLAS thread each; with one worker, or in one, the built-in map.

    The processes end immediately when the block ends, and by themselves if this process is killed.

    Raises:
        DeadWorkerError: a process died.
    """
    if workers == 1 or multiprocessing.current_process().daemon:  # a worker cannot have workers of its own
        yield map
        return
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(workers)]
    processes = [context.Process(target=_serve, args=(theirs,), daemon=True) for _, theirs in pipes]
    try:
        with one_thread_each(), stops_held_back():
            for process in processes:
                process.start()
        for _, theirs in pipes:
            theirs.close()
        yield _PipeMap([ours for ours, _ in pipes])
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()


class _PipeMap:
    """Gives each idle process the next task; results of a dropped stream are received later and discarded."""

    def __init__(self, connections: list[Connection]) -> None:
        self._idle = connections
        self._dropped: set[Connection] = set()
        self._window = _RESULTS_AHEAD * len(connections)

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        remaining = enumerate(tasks)
        running: dict[Connection, int] = {}
        done: dict[int, Callable[[], Result]] = {}
        try:
            for due in itertools.count():
                while due not in done:
                    room = min(len(self._idle), self._window - len(done) - len(running))
                    for index, task in itertools.islice(remaining, room):
                        connection = self._idle.pop()
                        running[connection] = index
                        with _death_reported():
                            connection.send((function, task))
                    if not running and self._idle:
                        return
                    self._receive(running, done)
                yield done.pop(due)()
        finally:
            self._dropped.update(running)

    def _receive(self, running: dict[Connection, int], done: dict[int, Callable[[], Any]]) -> None:
        """Wait until at least one process has finished a task, and store its result."""
        for connection in wait([*running, *self._dropped]):
            connection = cast(Connection, connection)
            index = running.pop(connection, None)
            self._dropped.discard(connection)
            with _death_reported():
                outcome = connection.recv()
            self._idle.append(connection)
            if index is not None:
                done[index] = outcome


def _serve(connection: Connection) -> None:
    """Run tasks in a worker until its parent ends it or dies."""
    live_as_worker()
    while True:
        function, task = connection.recv()
        connection.send(_outcome(function, task))


def live_as_worker() -> None:
    """Leave Ctrl-C and its like to the parent process, and end when it ends."""
    leave_stops_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _outcome(function: Callable[[Any], Any], task: Any) -> Callable[[], Any]:
    """A function that returns the task's result, or raises its error, when the parent calls it."""
    try:
        return partial(_give, function(task))
    except Exception as error:  # any error is raised again in the parent
        return partial(_throw, error)


def _give(result: Any) -> Any:
    return result


def _throw(error: Exception) -> Any:
    raise error


@contextmanager
def _death_reported() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise DeadWorkerError(
            "a worker process died while working", "the machine may have run out of memory; retry with fewer --workers"
        ) from error


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
