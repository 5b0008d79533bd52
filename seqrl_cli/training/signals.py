"""Ctrl-C, or a polite kill, that waits for the end of the step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Within the block, note a first Ctrl-C or SIGTERM instead of raising it amid an update; a second one raises.

    Outside the main thread Python delivers no signals, so there the noted value stays false.

    Yields:
        A function that says whether one came.
    """
    noted = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
