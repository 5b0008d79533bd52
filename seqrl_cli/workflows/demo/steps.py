"""The steps of a demo: their names, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from seqrl_cli.console import Console


@contextmanager
def timed_step(console: Console, number: int, count: int, name: str) -> Iterator[None]:
    """Print a step's name, and how long it took."""
    console.note(f"[{number}/{count}] {name}")
    start = time.perf_counter()
    yield
    console.note(f"      {time.perf_counter() - start:.0f} s")
