"""Making several datasets, as a suite names them: each is made in a process of its own, some at once.

What one process does not get done does no harm to the others. A process that is ended loses nothing that was kept: a
download goes on where it stopped, and datasets are written completely or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.behaviour.workers import end_worker, start_worker
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console, Progress
from seqrl_cli.errors import SeqrlError, when_interrupted
from seqrl_cli.launch.cores import available_cores

_REPORT_SECONDS = 0.2
_NAMES_SHOWN = 3


def make_all(
    dataset: DatasetRef, data: DataConfig, console: Console, *, force: bool = False, jobs: int | None = None
) -> list[str]:
    """Make the members of a dataset that are missing, some at once.

    Args:
        dataset: several datasets.
        data: size and seed of simulated ones.
        console: shows one bar for all of them.
        force: make those that exist again.
        jobs: the most datasets to make at once; None: one per core.

    Returns:
        The ids of those that were made now.

    Raises:
        CommandInterruptedError: Ctrl-C.
        SeqrlError: at least one could not be made; names all of these.
    """
    members = dataset.members
    missing = [part for part in members if force or not part.exists]
    for part in members:
        if part not in missing:
            part.ensure(data, console)
    there = len(members) - len(missing)
    if there:
        console.note(f"{there} of {len(members)} datasets already exist; --force makes them again")
    hint = "what is finished was kept, and the same command makes the rest"
    with when_interrupted(f"interrupted; {dataset.id} is not complete", hint):
        failures = _make(missing, data, console, dataset.id, force=force, jobs=jobs or available_cores())
    if failures:
        raise _failed(dataset, failures)
    return [part.id for part in missing]


def _failed(dataset: DatasetRef, failures: dict[str, SeqrlError]) -> SeqrlError:
    """One error for all members that could not be made."""
    reasons = "; ".join(f"{name}: {error.message}" for name, error in failures.items())
    done = len(dataset.members) - len(failures)
    others = "the other one is" if done == 1 else f"the other {done} are"
    kept = f"{others} there, and " if done else ""
    hints = {error.hint: None for error in failures.values() if error.hint}
    return SeqrlError(
        f"{len(failures)} of {len(dataset.members)} datasets of {dataset.id} failed: {reasons}",
        "; ".join([f"{kept}the same command tries again what failed", *hints]),
    )


@dataclass
class _Job:
    """A dataset that is being made.

    Attributes:
        part: the dataset.
        process: the process that makes the dataset.
        connection: the connection on which the process tells how far it is.
        share: fraction that is done, between 0 and 1.
        error: what it failed with.
        is_done: whether it has told how it ended.
    """

    part: DatasetRef
    process: BaseProcess
    connection: Connection
    share: float = 0.0
    error: SeqrlError | None = None
    is_done: bool = False


def _make(
    parts: Sequence[DatasetRef], data: DataConfig, console: Console, name: str, *, force: bool, jobs: int
) -> dict[str, SeqrlError]:
    """Make some datasets; returns the errors of those that could not be made, by their ids."""
    waiting, running = list(parts), list[_Job]()
    failures: dict[str, SeqrlError] = {}
    with console.progress(f"making {name}", "datasets") as update, _ended(running):
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.pop(0), data, force))
            _listen(running, console)
            for job in [job for job in running if job.is_done]:
                running.remove(job)
                job.process.join()
                if job.error is not None:
                    failures[job.part.id] = job.error
                    console.warn(f"{job.part.id}: {job.error.message}")
            finished = len(parts) - len(waiting) - len(running)
            _show(update, finished, len(parts), running)
    return failures


def _show(update: Progress, finished: int, total: int, running: Sequence[_Job]) -> None:
    names = ", ".join(job.part.id for job in running[:_NAMES_SHOWN])
    update(finished + sum(job.share for job in running), total, names + (" …" if len(running) > _NAMES_SHOWN else ""))


@contextmanager
def _ended(running: list[_Job]) -> Iterator[None]:
    """End the processes that still run after the block."""
    try:
        yield
    finally:
        for job in running:
            end_worker(job.process)


def _start(part: DatasetRef, data: DataConfig, force: bool) -> _Job:
    return _Job(part, *start_worker(_make_one, part, data, force))


def _listen(running: Sequence[_Job], console: Console) -> None:
    """Wait until a process says something, and take note of it."""
    by_connection = {job.connection: job for job in running}
    for ready in wait(list(by_connection)):
        job = by_connection[cast(Connection, ready)]
        try:
            kind, value = job.connection.recv()
        except (EOFError, OSError):
            job.is_done = True
            message = f"the process that made it died (exit code {_exit_code(job.process)})"
            job.error = SeqrlError(message, "the machine may have run out of memory; --jobs 1 needs less")
            continue
        if kind == "share":
            job.share = value
        elif kind == "warning":
            console.warn(value)
        else:
            job.is_done, job.error = True, value


def _exit_code(process: BaseProcess) -> int | None:
    process.join()
    return process.exitcode


class _DistantConsole(Console):
    """The console of a process that makes one dataset: warnings and progress go to the parent.

    Args:
        connection: the connection to the parent.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(quiet=True)
        self._connection = connection
        self._told = 0.0

    def warn(self, text: str) -> None:
        """Let the parent print a warning."""
        self._connection.send(("warning", text))

    @contextmanager
    def progress(self, label: str, unit: str = "") -> Iterator[Progress]:
        """Tell the parent how far the work is."""

        def update(done: float, total: float | None = None, detail: str = "") -> None:
            now = time.monotonic()
            if total and now - self._told >= _REPORT_SECONDS:
                self._told = now
                self._connection.send(("share", min(done / total, 1.0)))

        yield update


def _make_one(connection: Connection, part: DatasetRef, data: DataConfig, force: bool) -> None:
    """Make one dataset, in a process of its own."""
    error: Any = None
    try:
        part.ensure(data, _DistantConsole(connection), force=force)
    except SeqrlError as failure:
        error = SeqrlError(failure.message, failure.hint)
    except Exception as failure:  # one dataset's fault must not stop the others
        error = SeqrlError(f"internal error: {type(failure).__name__}: {failure}", "download it alone to see more")
    connection.send(("end", error))
