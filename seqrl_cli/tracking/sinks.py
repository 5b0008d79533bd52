"""Sinks: where a training loop sends its log steps. A tracker of experiments is one more class like these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from seqrl_cli.tracking.metrics import Values, append_line, rewind


class Sink(Protocol):
    """What receives the log steps of a run.

    A loop starts it once it knows where the run resumes, sends it every log step, and closes it however the loop ends.
    What else a sink has to know, a run's name say, it is given when it is made.
    """

    def start(self, resume_step: int) -> None:
        """Forget what was logged after ``resume_step``, since those steps come again."""

    def log(self, step: int, values: Values) -> None:
        """Take a log step: updates made so far, and numbers by name."""

    def close(self) -> None:
        """Send what is not sent yet; no log step follows."""


class JsonlSink:
    """The run's ``metrics.jsonl``.

    Args:
        path: the file, made when absent. An error about it stops training: the log is part of the run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, resume_step: int) -> None:
        """Drop the lines after a step, and one that was cut off."""
        rewind(self._path, resume_step)

    def log(self, step: int, values: Values) -> None:
        """Add a line."""
        append_line(self._path, step, values)

    def close(self) -> None:
        """Nothing is left to do: each line was written at once."""


class CallbackSink:
    """Tells a function of every log step.

    Args:
        on_log: called with the step and the numbers.
    """

    def __init__(self, on_log: Callable[[int, Values], None]) -> None:
        self._on_log = on_log

    def start(self, resume_step: int) -> None:
        """Nothing was told yet."""

    def log(self, step: int, values: Values) -> None:
        """Call the function."""
        self._on_log(step, values)

    def close(self) -> None:
        """Nothing is left to do."""


class OptionalSink:
    """A sink that training can do without: at its first error it is given up, with a warning.

    Args:
        sink: what may fail.
        name: what to call it in the warning.
        on_warning: told of the error, once.
    """

    def __init__(self, sink: Sink, name: str, on_warning: Callable[[str], None]) -> None:
        self._sink = sink
        self._name = name
        self._on_warning = on_warning
        self._failed = False

    def start(self, resume_step: int) -> None:
        """Start the sink."""
        self._attempt(lambda: self._sink.start(resume_step))

    def log(self, step: int, values: Values) -> None:
        """Send it a log step, unless it has failed before."""
        self._attempt(lambda: self._sink.log(step, values))

    def close(self) -> None:
        """Close the sink, unless it has failed before."""
        self._attempt(self._sink.close)

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # it is another project's code, which may raise anything
            self._failed = True
            self._on_warning(f"{self._name} failed and gets no more of this run's log: {type(error).__name__}: {error}")
