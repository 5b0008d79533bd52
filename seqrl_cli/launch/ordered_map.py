"""The interface of maps over processes, on this machine or on others."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol, TypeVar

from seqrl_cli.errors import RemoteTracebackError, SeqrlError

Task = TypeVar("Task")
Result = TypeVar("Result")


class DeadWorkerError(SeqrlError):
    """A process died in a task, and again when the task was started again, or hung."""


class OrderedMap(Protocol):
    """Like the built-in ``map``: lazy, in order."""

    def __call__(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        /,
        on_wait: Callable[[], None] | None = None,
    ) -> Iterator[Result]:
        """Results of ``function`` over ``tasks``; both must be picklable.

        Args:
            function: computes a result.
            tasks: arguments of ``function``, one per result.
            on_wait: called at least once per second while a process computes; may raise.

        Raises:
            DeadWorkerError: processes died in a task, or hung.
        """


def outcome_of(function: Callable[[Any], Any], task: Any) -> Callable[[], Any]:
    """What a process sends back: a function that returns the task's result, or raises its error, when it is called."""
    try:
        return partial(_give, function(task))
    except Exception as error:  # any error is raised again where the result is wanted
        return partial(_throw, _able_to_travel(error), traceback.format_exc())


def _able_to_travel(error: Exception) -> Exception:
    """The same error, or its text if it cannot be pickled and read again."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does then
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _give(result: Any) -> Any:
    return result


def _throw(error: Exception, trace: str) -> Any:
    raise error from RemoteTracebackError(trace)
