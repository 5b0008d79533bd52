"""Ctrl-C and SIGTERM that wait for the end of an update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside the block, record a first Ctrl-C or SIGTERM instead of raising it during an update; a second one raises.

    Outside the main thread, where Python delivers no signals, nothing is recorded.

    Yields:
        A function that returns whether a signal was received.
    """
    received = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        if received.is_set():
            raise KeyboardInterrupt
        received.set()

    if threading.current_thread() is not threading.main_thread():
        yield received.is_set
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
