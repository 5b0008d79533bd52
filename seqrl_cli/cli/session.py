"""How every command speaks and ends: one console, errors as sentences, exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import typer

from seqrl_cli.console import Console, OutputError
from seqrl_cli.errors import SeqrlError


class Report(Protocol):
    """What a workflow gives back."""

    def text(self) -> str:
        """For a person."""

    def as_dict(self) -> dict[str, Any]:
        """For --json."""


@contextmanager
def voice(quiet: bool = False, as_json: bool = False) -> Iterator[Console]:
    """Give the command its console and turn what goes wrong into a sentence, a hint and an exit code.

    Raises:
        typer.Exit: 1 the input or the machine is at fault, 2 usage, 130 interrupted.
    """
    console = Console(quiet=quiet, as_json=as_json)
    debug = bool(os.environ.get("SEQRL_DEBUG"))
    try:
        yield console
    except SeqrlError as error:
        if debug:
            raise
        _fail(console, error.message, error.hint, error.exit_code, error)
    except KeyboardInterrupt as error:
        _fail(console, "interrupted", "what was finished is kept; the same command does the rest", 130, error)
    except OutputError as error:
        _abandon_stdout(console)
        _fail(console, str(error), "see where stdout goes", 1, error)
    except MemoryError as error:
        _fail(console, "out of memory", "try a smaller batch, beam or dataset", 1, error)
    except BrokenPipeError:  # the reader of a pipe, `| head` for example, has seen enough
        _abandon_stdout(console)
    except typer.Exit:
        raise
    except Exception as error:
        if debug:
            raise
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        _fail(console, f"a fault in seqrl itself: {text}", "SEQRL_DEBUG=1 shows where; please report it", 1, error)


def tell(console: Console, report: Report) -> None:
    """The result of a command, for a person or as the one object of --json."""
    console.show(report.text())
    console.emit(report.as_dict())


def _abandon_stdout(console: Console) -> None:
    """Let what is still to be written go nowhere, so that the flush at the end does not fail once more."""
    with suppress(OSError):  # a stream of Python's own, or none at all, has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), console.stdout.fileno())


def _fail(console: Console, message: str, hint: str, code: int, cause: BaseException) -> None:
    console.fail(message, hint, code)
    raise typer.Exit(code) from cause
