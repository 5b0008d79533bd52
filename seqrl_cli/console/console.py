"""The console of one command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from seqrl_cli.console.diagnostics import Diagnostics
from seqrl_cli.console.progress import Progress, ProgressLines, no_progress
from seqrl_cli.console.text import brief, finite, joined, one_line, printable, wrapped

if TYPE_CHECKING:
    from rich.console import Console as RichConsole


_WIDTH = 80  # of a terminal that does not tell
_UNBOUNDED = 10_000  # columns of a pipe or a file, whose reader wants whole names


class OutputError(Exception):
    """Results cannot be written to stdout."""


class Console:
    """Prints the output of one command.

    Args:
        quiet: print only results and errors.
        as_json: stdout carries exactly one JSON object; ``show`` prints nothing then.
        stdout, stderr: streams; by default those of the process.
        line_seconds: seconds between lines of progress where there is no terminal for a bar.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        as_json: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        line_seconds: float = 30.0,
    ) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self.stdout = stdout or sys.stdout
        self.stderr = cast(TextIO, Diagnostics(stderr or sys.stderr))
        self.line_seconds = line_seconds
        self._bars: RichConsole | None = None

    def note(self, text: str) -> None:
        """Print one line about what is happening, unless quiet."""
        if not self.quiet:
            self._print_line(text)

    def warn(self, text: str) -> None:
        """Print one line about something that the user should know, even if quiet."""
        self._print_line(brief(one_line(f"warning: {text}")))

    def fail(self, message: str, hint: str, code: int) -> None:
        """Print an error and what to do next, a line each; with ``--json`` also as the one object."""
        print(self._fitted(brief(one_line(f"error: {message}"))), file=self.stderr, flush=True)
        if hint:
            print(self._fitted(brief(one_line(f"hint: {hint}"))), file=self.stderr, flush=True)
        with suppress(OutputError):  # stdout may be what failed
            self.emit({"error": brief(message), "hint": brief(hint), "exit_code": code})

    def emit(self, value: Any) -> None:
        """Print the one object of ``--json``, the words of its keys joined by ``_``; without it, print nothing."""
        if self.as_json:
            named = {joined(key): one for key, one in value.items()} if isinstance(value, Mapping) else value
            self._print_result(json.dumps(finite(named), indent=2, default=str, allow_nan=False))

    def show(self, renderable: Any) -> None:
        """Print a result: text, or anything that Rich renders."""
        if self.as_json:
            return
        if isinstance(renderable, str):
            self._print_result(printable(renderable))
        else:
            self.show_with(lambda rich: rich.print(renderable))

    def show_with(self, draw: Callable[[RichConsole], None]) -> None:
        """Let ``draw`` print a result on a Rich console."""
        if self.as_json:
            return
        with _output_errors():
            draw(self._rich(self.stdout))

    def show_rows(self, header: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
        """Print a plain table; on a terminal too narrow for it, one paragraph per row."""
        if self.as_json:
            return
        from seqrl_cli.console.tables import rows_table

        table = rows_table(header, rows, self._rich(self.stdout).width, title)
        for part in table if isinstance(table, list) else [table]:
            self.show(part)

    def show_list(self, header: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
        """Print a table with one line per row at any width; its columns are keys of the rows, the first a name."""
        if self.as_json:
            return
        from seqrl_cli.console.lists import print_list

        self.show_with(lambda rich: print_list(header, rows, rich))

    def show_facts(self, facts: Mapping[str, Any]) -> None:
        """Print labels and values, one pair per line."""
        from seqrl_cli.console.tables import facts_grid

        self.show(facts_grid(facts))

    @contextmanager
    def progress(self, label: str, unit: str = "") -> Iterator[Progress]:
        """Show a progress bar on a terminal, with rate and time left, or print lines at intervals elsewhere.

        Yields:
            ``update(done, total, detail="")``; ``total`` may be None if it is unknown.
        """
        if self.quiet:
            yield no_progress
            return
        if not self.stderr.isatty():
            yield ProgressLines(label, unit, self.note, self.line_seconds).update
            return
        from seqrl_cli.console.bars import progress_bar

        rich = self._rich(self.stderr)
        with progress_bar(rich, label, unit) as update, self._above(rich):
            yield update

    @contextmanager
    def _above(self, rich: RichConsole) -> Iterator[None]:
        """Print lines above the bars of ``rich`` for the block."""
        self._bars = rich
        try:
            yield
        finally:
            self._bars = None

    def _print_line(self, text: str) -> None:
        """Print a line on stderr, above the progress bar if there is one."""
        text = self._fitted(one_line(text))
        if self._bars:
            self._bars.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stderr, flush=True)

    def _fitted(self, text: str) -> str:
        """The line, on a terminal broken between words."""
        try:
            return wrapped(text, os.get_terminal_size(self.stderr.fileno()).columns or _WIDTH)
        except (OSError, ValueError):  # no terminal, or a stream without a file
            return text

    def _print_result(self, text: str) -> None:
        with _output_errors():
            print(text, file=self.stdout, flush=True)

    def _rich(self, stream: TextIO) -> RichConsole:
        """A console of Rich's; a pipe or a file is as wide as its lines, unless COLUMNS says otherwise."""
        from rich.console import Console as RichConsole

        class OwnConsole(RichConsole):
            def on_broken_pipe(self) -> None:
                raise  # Rich would exit with code 1

        width = None if stream.isatty() else shutil.get_terminal_size((_UNBOUNDED, 24)).columns
        return OwnConsole(file=stream, highlight=False, width=width)


@contextmanager
def _output_errors() -> Iterator[None]:
    """Turn an OSError in the block into an OutputError; a closed pipe is left to the caller."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write the result: {error.strerror}") from error
