"""What all commands share: a console, errors as sentences, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import typer

from seqrl_cli.cli.machine import machine_fault, require_address_space, require_current_folder
from seqrl_cli.console import Console, OutputError
from seqrl_cli.errors import SeqrlError
from seqrl_cli.stops import pass_over_stops


class Report(Protocol):
    """Result of a verb: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def text(self) -> str:
        """The result for a person."""


@contextmanager
def command_session(
    quiet: bool = False, as_json: bool = False, console: Console | None = None, *, writes: bool = True
) -> Iterator[Console]:
    """Give the command its console, and turn exceptions into a sentence, a hint and an exit code.

    Args:
        quiet: whether to print only results and errors, as in :class:`~seqrl_cli.console.console.Console`.
        as_json: whether stdout carries exactly one JSON object, as there.
        console: the console to use in place of a new one.
        writes: whether the command may leave something that an interruption keeps.

    Raises:
        typer.Exit: code 1 for bad input or a failing machine, 2 for wrong usage, 130 for an interruption.
    """
    console = console or Console(quiet=quiet, as_json=as_json)
    debug = bool(os.environ.get("SEQRL_DEBUG"))
    try:
        require_address_space()
        require_current_folder()
        yield console
        pass_over_stops()
    except SeqrlError as error:
        if debug:
            raise
        _fail(console, error.message, error.hint, error.exit_code, error)
    except KeyboardInterrupt as error:
        hint = "finished work was kept; the same command resumes" if writes else "nothing was written"
        _fail(console, "interrupted", hint, 130, error)
    except typer.Abort as error:  # Ctrl-C or the end of the input, in the line of the question
        print(file=sys.stderr)
        _fail(console, "interrupted", "the question was not answered; nothing was changed", 130, error)
    except OutputError as error:
        abandon_stdout()
        _fail(console, str(error), "check where stdout is written to", 1, error)
    except BrokenPipeError:  # the reader of a pipe, for example `| head`, closed it
        abandon_stdout()
    except typer.Exit:
        raise
    except Exception as error:
        if debug:
            raise
        if fault := machine_fault(error):
            _fail(console, fault.message, fault.hint, fault.exit_code, error)
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        _fail(console, f"internal error: {text}", "SEQRL_DEBUG=1 shows the traceback; please report it", 1, error)


def print_report(console: Console, report: Report) -> None:
    """Print a command's result: its text, or with --json its fields as one object."""
    console.show(report.text())
    print_json(console, report)


def print_json(console: Console, report: Report) -> None:
    """Print a result's fields as one object with --json, and nothing without it."""
    console.emit(asdict(report))


def abandon_stdout() -> None:
    """Redirect stdout to nowhere, so that the flush at exit does not fail again."""
    with suppress(OSError):  # a stream that is not a file has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_failure(console: Console, message: str, hint: str, code: int) -> None:
    """Print an error, to whoever still reads; where nobody does, its exit code remains."""
    try:
        console.fail(message, hint, code)
    except BrokenPipeError:
        abandon_stdout()


def _fail(console: Console, message: str, hint: str, code: int, cause: BaseException) -> None:
    tell_failure(console, message, hint, code)
    raise typer.Exit(code) from cause
