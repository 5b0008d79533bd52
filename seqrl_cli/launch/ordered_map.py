"""The interface of maps over processes, on this machine or on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from seqrl_cli.errors import SeqrlError

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
            tasks: what to compute.
            on_wait: called at least once per second while a process computes; may raise.

        Raises:
            DeadWorkerError: processes died in a task, or hung.
        """
