"""Errors that users see: one sentence that names the thing and its value, and a hint with the next step."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SeqrlError(Exception):
    """An error caused by the input or the machine, not by the program.

    Args:
        message: one sentence that names the thing and its value.
        hint: what to do next, ideally a command.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # tracebacks, in notebooks too, print notes

    def append_hint(self, hint: str) -> None:
        """Add what else can be done."""
        self.hint = "; ".join(filter(None, (self.hint, hint)))
        self.add_note(f"hint: {hint}")

    def __reduce__(self) -> tuple[type[SeqrlError], tuple[str, str]]:
        """Keep the hint when the error is pickled, for example between processes."""
        return type(self), (self.message, self.hint)


class UsageError(SeqrlError):
    """A mistake in the command line: an unknown name, key or option value."""

    exit_code = 2


class RunConflictError(SeqrlError):
    """The requested run's folder contains a run with other settings or data."""


class RemoteTracebackError(Exception):
    """Where an error arose in another process: the cause of the error that this one raises."""

    def __str__(self) -> str:
        return f'in another process:\n"""\n{self.args[0]}"""'


def shortened_path(path: str | bytes | os.PathLike[str]) -> str:
    """A path that fits into a sentence: without its middle if it is long."""
    text = os.fsencode(path).decode(errors="replace")
    return text if len(text) <= 120 else f"{text[:60]}…{text[-50:]}"


def nearest(name: str, options: Iterable[str]) -> str | None:
    """The option whose spelling is closest to ``name``; None if none is close."""
    matches = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown(kind: str, name: str, options: Iterable[str], listing: str = "") -> UsageError:
    """Make the error for a name that does not exist.

    Args:
        kind: name of the kind of thing, for example ``"dataset"``.
        name: the name that the user typed.
        options: the existing names.
        listing: the command that lists them; empty = list them in the hint.
    """
    options = list(options)
    close = nearest(name, options)
    hints = [f"did you mean {close!r}?"] if close else []
    hints.append(f"`{listing}` lists all." if listing else "choose one of: " + ", ".join(options))
    hint = " ".join(hints)
    return UsageError(f"unknown {kind} {name!r}", hint)


class CommandInterruptedError(SeqrlError):
    """The user pressed Ctrl-C; the message names what was kept, the hint what the same command will do."""

    exit_code = 130


@contextmanager
def when_interrupted(message: str, hint: str) -> Iterator[None]:
    """Turn Ctrl-C in the block into a :class:`CommandInterruptedError` with this message and hint."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise CommandInterruptedError(message, hint) from error
