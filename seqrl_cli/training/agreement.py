"""Processes tell each other whether they can start and with what; all stop if one cannot, or if they differ."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.distributed import Ranks

T = TypeVar("T")

_HINT = "start all processes with the same command, versions and data"


class SaidElsewhereError(SeqrlError):
    """Another process prints the error."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


@dataclass(frozen=True)
class Report:
    """What a process found before it trains.

    Attributes:
        host: name of the process's machine.
        error: why it cannot train, as message and hint; None if it can.
        exit_code: exit code of that error.
        facts: what must be the same in all processes, by name.
        is_done: whether there is nothing to train; only the leader's counts.
    """

    host: str = field(default_factory=socket.gethostname)
    error: tuple[str, str] | None = None
    exit_code: int = 1
    facts: Mapping[str, str] = field(default_factory=dict)
    is_done: bool = False


class Start:
    """The moment before training, which all processes reach or none passes.

    Args:
        ranks: the processes.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.is_over = False

    def agree(self, facts: Mapping[str, str]) -> bool:
        """Wait for all processes.

        Args:
            facts: what must be the same in all processes, as this process has it.

        Returns:
            Whether there is something to train.

        Raises:
            SeqrlError: another process cannot start, or has other facts.
        """
        return self._exchange(Report(facts=facts))

    def call_off(self) -> None:
        """Tell the others that there is nothing to train; for the leader."""
        self._exchange(Report(is_done=True))

    def fail(self, error: SeqrlError) -> None:
        """Tell the others why this process cannot start."""
        if not self.is_over:
            self.is_over = True
            _raise_others(self._ranks, self._ranks.gather(_failed(error)), own=error)

    def _exchange(self, own: Report) -> bool:
        self.is_over = True
        reports = self._ranks.gather(own)
        _raise_others(self._ranks, reports)
        if reports[0].is_done:
            return False
        if difference := difference_of(reports):
            raise SeqrlError(difference, _HINT) if self._ranks.leads else SaidElsewhereError(1)
        return True


@contextmanager
def starting(ranks: Ranks) -> Iterator[Start]:
    """A block in which each process gets ready and calls :meth:`Start.agree`, before which an error stops all."""
    start = Start(ranks)
    try:
        yield start
    except SeqrlError as error:
        start.fail(error)
        raise


def in_turns(ranks: Ranks, make: Callable[[], T]) -> T:
    """Let one process of each node make something before the others do, who then find it.

    Raises:
        SeqrlError: it failed in one of them.
    """
    turn = min(ranks.placement.local_rank, 1)
    made: T | None = None
    for now in (0, 1):
        own = Report()
        failed: SeqrlError | None = None
        if turn == now:
            try:
                made = make()
            except SeqrlError as error:
                own, failed = _failed(error), error
        _raise_others(ranks, ranks.gather(own), own=failed)
    assert made is not None
    return made


def difference_of(reports: Sequence[Report]) -> str | None:
    """The first fact in which a process differs from the leader, as a sentence; None if there is none."""
    first = reports[0]
    for rank, other in enumerate(reports):
        for name in [*first.facts, *(name for name in other.facts if name not in first.facts)]:
            mine, theirs = first.facts.get(name, "none"), other.facts.get(name, "none")
            if mine != theirs:
                return f"rank {rank} on {other.host} has {name} {theirs}, but rank 0 on {first.host} has {mine}"
    return None


def _failed(error: SeqrlError) -> Report:
    return Report(error=(error.message, error.hint), exit_code=error.exit_code)


def _raise_others(ranks: Ranks, reports: Sequence[Report], own: SeqrlError | None = None) -> None:
    """Raise the first error among reports: the leader in full, naming the process, and the others without words."""
    for rank, report in enumerate(reports):
        if report.error is None:
            continue
        if not ranks.leads:
            raise SaidElsewhereError(report.exit_code) from own
        message, hint = report.error
        if rank == 0:
            assert own is not None
            raise own
        error = SeqrlError(f"rank {rank} on {report.host}: {message}", hint)
        error.exit_code = report.exit_code
        raise error
