"""Which tasks of a run are held in memory, and which stay on the disk, so that all of them fit a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqrl_cli.console import byte_size, counted
from seqrl_cli.errors import SeqrlError

BYTES_PER_STEP = 11
"""What a task always holds in memory per step: reward and return-to-go, three flags."""

MIN_PAGES = 2**24
"""Least memory for the pages of all mapped tasks, in bytes."""


@dataclass(frozen=True)
class MemoryNeed:
    """What a task would take.

    Attributes:
        transitions: number of the task's steps.
        wide_bytes: bytes of the task's observations and actions.
    """

    transitions: int
    wide_bytes: int

    @property
    def mapped(self) -> int:
        """Bytes in memory while observations and actions stay on the disk, without the pages that were read."""
        return self.transitions * BYTES_PER_STEP

    @property
    def loaded(self) -> int:
        """Bytes with everything in memory."""
        return self.mapped + self.wide_bytes


@dataclass(frozen=True)
class MemoryPlan:
    """What is where.

    Attributes:
        limit: bytes that the data may take.
        is_mapped: whether the observations and actions of each task stay on the disk.
        held: bytes of arrays in memory.
        total: bytes that the data would take if all were in memory.
        pages: bytes for the pages of mapped tasks; 0 if there is none.
    """

    limit: int
    is_mapped: tuple[bool, ...]
    held: int
    total: int
    pages: int

    @property
    def text(self) -> str:
        """One line for people."""
        mapped = sum(self.is_mapped)
        if not mapped:
            return f"all data in memory: {byte_size(self.held)}"
        pages = f"{byte_size(self.held)} in memory plus up to {byte_size(self.pages)} of mapped pages"
        tasks = counted(len(self.is_mapped), "task")
        return f"{pages}, for {byte_size(self.total)} of data; {mapped} of {tasks} read from the disk"


def plan_memory(needs: Sequence[MemoryNeed], limit: int) -> MemoryPlan:
    """Load the smallest tasks as long as all fit, since tasks of a domain are drawn equally often; map the others.

    Args:
        needs: memory needs of the tasks.
        limit: bytes that the data may take.

    Raises:
        SeqrlError: not even what mapped tasks hold in memory fits.
    """
    loaded = sum(need.loaded for need in needs)
    if loaded <= limit:
        return MemoryPlan(limit, (False,) * len(needs), loaded, loaded, 0)
    held = sum(need.mapped for need in needs)
    least = held + MIN_PAGES
    free = limit - least
    if free < 0:
        message = f"the data need {byte_size(least)} of memory even from the disk, but tasks.max_memory is"
        raise SeqrlError(
            f"{message} {byte_size(limit)}", f"use --max-memory {least / 2**30 + 0.1:.1f}GiB, or fewer tasks"
        )
    is_mapped = [True] * len(needs)
    for index in sorted(range(len(needs)), key=lambda index: needs[index].wide_bytes):
        if needs[index].wide_bytes > free:
            break
        is_mapped[index] = False
        free -= needs[index].wide_bytes
        held += needs[index].wide_bytes
    return MemoryPlan(limit, tuple(is_mapped), held, loaded, MIN_PAGES + free)
