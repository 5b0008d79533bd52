"""The interface of every engine that runs tasks."""

from __future__ import annotations

from typing import Protocol

from seqrl_cli.launch.task import Ended, Task


class Launcher(Protocol):
    """Runs tasks side by side; use it in a ``with`` statement, at whose end every task has ended."""

    @property
    def slots(self) -> int:
        """Tasks that run at once."""

    def start(self, task: Task) -> None:
        """Queue a task."""

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """The tasks that ended since the last call; waits for one if there is none.

        Args:
            seconds: the most seconds to wait; None = until one ends.
        """

    def stop(self, task: Task) -> None:
        """Ask a task to save and end; :meth:`wait` reports it."""

    def __enter__(self) -> Launcher: ...

    def __exit__(self, *error: object) -> None: ...
