"""Signals that ask a command to stop: it saves what it must, and ends with exit code 130.

Ctrl-C is only one of them. Schedulers and containers send SIGTERM some seconds before they kill, or a warning of the
user's choice (SIGUSR1, SIGUSR2, SIGXCPU); a terminal that closes sends SIGHUP.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
STOPS = tuple(signal.Signals[name] for name in _NAMES if hasattr(signal, name))
"""Windows lacks most of them."""

Handler = Callable[[int, FrameType | None], None]


def interrupt_on_stops() -> None:
    """Let each raise KeyboardInterrupt; ``nohup`` and shells start commands with some ignored, which stay so."""
    for number in _heeded():
        signal.signal(number, _interrupt)


@contextmanager
def handling_stops(handler: Handler) -> Iterator[None]:
    """Call ``handler`` for each, inside the block; those that are ignored stay so. Only for the main thread."""
    previous = {number: signal.signal(number, handler) for number in _heeded()}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def leave_stops_to_parent() -> None:
    """Pass over them in a worker process: a scheduler sends them to every process, and only the parent can save.

    They are not ignored but handled by doing nothing, so that programs which the worker starts can be stopped.
    """
    for number in STOPS:
        signal.signal(number, _pass_over)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


@contextmanager
def stops_held_back() -> Iterator[None]:
    """Deliver them after the block, and in workers started in it once they call ``leave_stops_to_parent``."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def lead_group() -> None:
    """Begin a group of processes, to which all belongs that this one starts, away from the terminal."""
    if hasattr(os, "setsid") and os.getpgrp() != os.getpid():  # not on Windows
        os.setsid()


def kill_group(leader: int) -> None:
    """End a process that began a group at once, with the processes of the group.

    What it has started would go on else, and could complain on the terminal that nobody listens to it.
    """
    if hasattr(os, "killpg"):  # not on Windows
        with suppress(OSError):  # it has not begun one yet, or all have ended
            os.killpg(leader, signal.SIGKILL)


def ignore_stops() -> None:
    """From now on nothing is left to save."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def pass_over_stops() -> None:
    """From now on the result is out, and a stop may no longer change the exit code; for a program that heeds stops."""
    for number in STOPS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_IGN)


def _heeded() -> list[signal.Signals]:
    return [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _pass_over(number: int, frame: FrameType | None) -> None:
    pass
