"""What a command says: results on stdout, everything else on stderr, progress on a terminal only."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType

_SPEED_SECONDS = 300.0  # that a rate is averaged over: a step of many plans may take half a minute
_LEAST_FOLDED = 10  # characters that a column which folds keeps at least

Progress = Callable[..., None]

# All but tab and newline, and the halves of characters that stand for a file name's undecodable bytes.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class OutputError(Exception):
    """Results cannot be written to stdout."""


class Console:
    """The voice of one command.

    Args:
        quiet: say nothing but results and errors.
        as_json: stdout carries exactly one JSON object; ``show`` is silent then.
        stdout, stderr: streams, by default the process's own.
        line_seconds: seconds from one line of progress to the next, where there is no terminal for a bar.
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
        self.stderr = stderr or sys.stderr
        self.line_seconds = line_seconds
        self._bars: RichConsole | None = None

    def note(self, text: str) -> None:
        """One line about what is happening."""
        if not self.quiet:
            self._say(text)

    def warn(self, text: str) -> None:
        """One line about something the user should know; not silenced."""
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        """A line on stderr; above the progress bar while there is one."""
        text = printable(text)
        if self._bars:
            self._bars.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stderr, flush=True)

    def show(self, renderable: Any) -> None:
        """Print a result: text, or anything that Rich renders."""
        if self.as_json:
            return
        if isinstance(renderable, str):
            self._print(printable(renderable))
            return
        self.show_with(lambda rich: rich.print(renderable))

    def show_with(self, draw: Callable[[RichConsole], None]) -> None:
        """Let ``draw`` print a result on a Rich console."""
        if self.as_json:
            return
        with _written():
            draw(self._rich())

    def _rich(self) -> RichConsole:
        from rich.console import Console as RichConsole

        return RichConsole(file=self.stdout, highlight=False)

    def _print(self, text: str) -> None:
        with _written():
            print(text, file=self.stdout, flush=True)

    def show_rows(self, header: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
        """Print a plain table: numbers align right, and the widest column folds rather than anything vanishes.

        Where even that has no room, each row becomes a paragraph.
        """
        from rich import box
        from rich.table import Table

        rows = [list(row) for row in rows]
        cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        folded = max(range(1, len(header)), key=widths.__getitem__, default=0)  # never the first: those are names
        needed = sum(widths) + 2 * len(header) + 1 - max(0, widths[folded] - _LEAST_FOLDED)
        if not self.as_json and needed > self._rich().width:
            for name, *values in cells:
                pairs = zip(header[1:], values, strict=True)
                self.show("\n  ".join([name, *(f"{key}: {value}" for key, value in pairs if value)]))
            return
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
        for index, name in enumerate(header):
            numeric = all(isinstance(row[index], int | float) for row in rows)
            justify: Literal["right", "left"] = "right" if numeric and rows else "left"
            table.add_column(name, justify=justify, overflow="fold", no_wrap=index != folded)
        for row in cells:
            table.add_row(*row)
        self.show(table)

    def show_facts(self, facts: Mapping[str, Any]) -> None:
        """Print labels and values, one pair a line."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in facts.items():
            text = _fact(value, grouped=not key.endswith("seed"))
            table.add_row(Text(printable(key)), Text(printable(text)))  # never read as Rich's markup
        self.show(table)

    def emit(self, value: Any) -> None:
        """The one object of ``--json``; silent without it."""
        if self.as_json:
            self._print(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))

    def fail(self, message: str, hint: str, code: int) -> None:
        """An error and what to do next; with ``--json`` also as the one object."""
        print(f"error: {printable(message)}", file=self.stderr, flush=True)
        if hint:
            print(f"hint: {printable(hint)}", file=self.stderr, flush=True)
        with suppress(OutputError):  # stdout may be what failed
            self.emit({"error": message, "hint": hint, "exit_code": code})

    @contextmanager
    def progress(self, label: str, unit: str = "") -> Iterator[Progress]:
        """A progress bar with rate and time left, details below; a line now and then where stderr is no terminal.

        Yields:
            ``update(done, total, detail="")``; ``total`` may be None when it is not known.
        """
        if self.quiet:
            yield lambda done, total=None, detail="": None
            return
        if not self.stderr.isatty():
            yield _Lines(label, unit, self.note, self.line_seconds).update
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )

        class BarsAndDetails(Bars):
            """Bars, below which details have a line of their own: beside a bar there is no room for them."""

            def get_renderables(self) -> Iterator[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                for task in self.tasks:
                    if detail := task.fields["detail"]:
                        yield Text(f"  {detail}", no_wrap=True, overflow="ellipsis")

        rich = RichConsole(file=self.stderr)
        bars = BarsAndDetails(*columns, console=rich, transient=True, speed_estimate_period=_SPEED_SECONDS)
        with bars, self._above(rich):
            task = bars.add_task(label, total=None, detail="", rate="")

            def update(done: float, total: float | None = None, detail: str = "") -> None:
                bars.update(task, completed=done, total=total, detail=detail, rate=_rate(bars.tasks[0].speed, unit))

            yield update

    @contextmanager
    def _above(self, rich: RichConsole) -> Iterator[None]:
        """Print lines above the bars of ``rich`` for the block."""
        self._bars = rich
        try:
            yield
        finally:
            self._bars = None


@contextmanager
def _written() -> Iterator[None]:
    """Tell of results that cannot be written; a closed pipe is another matter, and the caller's."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write the result: {error.strerror}") from error


@dataclass
class _Lines:
    """Progress where there is no terminal, in a log file for example: a plain line every so many seconds."""

    label: str
    unit: str
    say: Callable[[str], None]
    interval: float
    _first: tuple[float, float] | None = None  # time and count at the first update, which a resumed run begins with
    _said: float = 0.0

    def update(self, done: float, total: float | None = None, detail: str = "") -> None:
        """As a progress bar's."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._said = (now, done), now
        if now - self._said < self.interval:
            return
        self._said = now
        start, already = self._first
        speed = (done - already) / (now - start) if now > start else 0.0
        left = f"{duration((total - done) / speed)} left" if total and speed else ""
        count = f"{done:,.0f}" + (f" of {total:,.0f}" if total else "") + (f" {self.unit}" if self.unit else "")
        self.say(", ".join(part for part in (f"{self.label}: {count}", _rate(speed, self.unit), left, detail) if part))


def _rate(speed: float | None, unit: str) -> str:
    """``1,200 steps/s``; nothing while it is not known."""
    if not speed or not unit:
        return ""
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.1f} {unit}/s"


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def byte_size(size: float) -> str:
    """Bytes as a person says them: ``310 B``, ``7.8 kB``, ``62.0 MB``, ``1.2 GB``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def printable(text: str) -> str:
    """The text with control characters spelled out: names in foreign files must not steer the terminal."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def counted(number: int, noun: str) -> str:
    """``1 episode``, ``2 episodes``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _finite(value: Any) -> Any:
    """The value with None for NaN and infinity, for which JSON has no word."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fact(value: Any, grouped: bool = True) -> str:
    """A value as a person reads it: ``yes``, ``1,200``, ``a, b``, ``–`` for nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and grouped:
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
