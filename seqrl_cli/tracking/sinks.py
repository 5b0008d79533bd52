"""Sinks receive the log steps of a run. A tracker of experiments is one more class like these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from seqrl_cli.tracking.metrics import Values, append_line, rewind


class Sink(Protocol):
    """Receives the log steps of one run.

    A loop starts a sink once it knows where the run resumes, sends it every log step, and closes it however the loop
    ends. Anything else that a sink needs, such as the run's name and configuration, its constructor takes.
    """

    def start(self, resume_step: int) -> None:
        """Drop what was logged after ``resume_step``: those steps are logged again."""

    def log(self, step: int, values: Values) -> None:
        """Take a log step: the updates made so far, and numbers by name."""

    def close(self) -> None:
        """Flush; no log step follows."""


@contextmanager
def started(sinks: Sequence[Sink], resume_step: int) -> Iterator[None]:
    """Start the sinks at ``resume_step``, and close them at the end of the block."""
    with ExitStack() as stack:
        for sink in sinks:
            sink.start(resume_step)
            stack.callback(sink.close)
        yield


def send(sinks: Sequence[Sink], step: int, values: Values) -> None:
    """Send a log step to each sink, in order."""
    for sink in sinks:
        sink.log(step, values)


class JsonlSink:
    """The run's ``metrics.jsonl``.

    Args:
        path: the file, created when absent. If it cannot be written, training stops: the log is part of the run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, resume_step: int) -> None:
        """Drop the lines after ``resume_step``, and an incomplete last line."""
        rewind(self._path, resume_step)

    def log(self, step: int, values: Values) -> None:
        """Append a line."""
        append_line(self._path, step, values)

    def close(self) -> None:
        """Do nothing: each line is written at once."""


class CallbackSink:
    """Calls a function at every log step.

    Args:
        on_log: called with the step and the numbers.
    """

    def __init__(self, on_log: Callable[[int, Values], None]) -> None:
        self._on_log = on_log

    def start(self, resume_step: int) -> None:
        """Do nothing."""

    def log(self, step: int, values: Values) -> None:
        """Call the function."""
        self._on_log(step, values)

    def close(self) -> None:
        """Do nothing."""
