"""Work spread over processes, with results in the order of the tasks."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

from seqrl_cli.errors import SeqrlError

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_AHEAD = 4
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class OrderedMap(Protocol):
    """Like the built-in ``map``: lazy, in order, over an iterable that may never end."""

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        """Results of ``function`` over ``tasks``; both must pickle."""


@contextmanager
def worker_map(workers: int) -> Iterator[OrderedMap]:
    """A map over fresh processes with one BLAS thread each; with one worker, the built-in map and no process.

    When the block is left by an error or Ctrl-C, the processes are ended at once.

    Raises:
        SeqrlError: a process died.
    """
    if workers == 1:
        yield map
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(workers, context, initializer=_ignore_interrupts) as executor,
    ):
        try:
            yield _Ahead(executor, workers * _TASKS_AHEAD)
        except BaseException as error:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise SeqrlError(
                    "a worker process died in the middle of its work", "was memory short? try again with fewer workers."
                ) from error
            raise
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


class _Ahead:
    """Keeps a few tasks in flight, so that an endless stream of them can be dropped at any moment."""

    def __init__(self, executor: ProcessPoolExecutor, window: int) -> None:
        self._executor = executor
        self._window = window

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        remaining = iter(tasks)
        pending: deque[Future[Result]] = deque()
        try:
            while True:
                for task in itertools.islice(remaining, self._window - len(pending)):
                    pending.append(self._executor.submit(function, task))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """BLAS reads its thread count when it is loaded, so it has to be in the environment that a process starts with."""
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


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of the terminal; only the first one acts on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
