"""Progress as an update function, and as plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from seqrl_cli.console.text import duration, rate_text


class Progress(Protocol):
    """Reports how far a piece of work is."""

    def __call__(self, done: float, total: float | None = None, detail: str = "") -> None:
        """Report ``done`` of ``total`` units (None if unknown), with a few words about the state."""


def no_progress(done: float, total: float | None = None, detail: str = "") -> None:
    """Report nothing."""


@dataclass
class ProgressLines:
    """Progress where there is no terminal, for example in a log file: one plain line per interval.

    Attributes:
        label: name of the work.
        unit: unit of progress, for example ``steps``.
        print_line: prints one line.
        interval: seconds between lines.
    """

    label: str
    unit: str
    print_line: Callable[[str], None]
    interval: float
    _first: tuple[float, float] | None = None  # time and count at the first update, where a resumed run starts
    _printed: float = 0.0

    def update(self, done: float, total: float | None = None, detail: str = "") -> None:
        """Report progress; prints if the interval has passed."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
            self._printed = now
        if now - self._printed < self.interval:
            return
        self._printed = now
        started, resumed_at = self._first
        speed = (done - resumed_at) / (now - started) if now > started else 0.0
        left = f"{duration((total - done) / speed)} left" if total and speed else ""
        count = f"{done:,.0f}" + (f" of {total:,.0f}" if total else "") + (f" {self.unit}" if self.unit else "")
        parts = (f"{self.label}: {count}", rate_text(speed, self.unit), left, detail)
        self.print_line(", ".join(part for part in parts if part))
