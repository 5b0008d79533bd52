"""Ctrl-C, SIGTERM and their like, which wait for the end of an update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from seqrl_cli.stops import handling_stops


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside the block, record a signal to stop instead of raising it during an update; Ctrl-C after it raises.

    The other signals often come twice: SIGHUP from a shell and the kernel, SIGTERM from a scheduler and its step.
    Outside the main thread, where Python delivers no signals, nothing is recorded.

    Yields:
        A function that returns whether a signal was received.
    """
    received = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        if received.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        received.set()

    if threading.current_thread() is not threading.main_thread():
        yield received.is_set
        return
    with handling_stops(note):
        yield received.is_set
