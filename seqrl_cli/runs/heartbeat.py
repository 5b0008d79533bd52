"""A heartbeat in a run's record, for those who look at it from another machine, where they see no process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.record import now

SECONDS = 15.0
"""Seconds between two heartbeats."""

SILENT_SECONDS = 120.0
"""Seconds without a heartbeat after which a run may have ended; file systems and clocks may be some seconds late."""


@contextmanager
def beating(write: Callable[[str], object], seconds: float = SECONDS) -> Iterator[None]:
    """Write the time at intervals for the block, from a thread; what cannot be written now is written later.

    Args:
        write: writes the record with this time.
        seconds: time before the first call and between two calls, in seconds.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds):
            with suppress(OSError, SeqrlError):
                write(now())

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
