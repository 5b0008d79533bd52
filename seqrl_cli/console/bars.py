"""A progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from seqrl_cli.console.progress import Progress
from seqrl_cli.console.text import duration, rate_text

_SPEED_SECONDS = 300.0  # window over which a rate is averaged: a step of many plans may take half a minute
_NUMBERS_WIDTH = 46  # for the bar, `100,000/100,000`, `2,731 steps/s` and `12 min left`


class _BarsAndDetails(RichProgress):
    """Bars with their details on a line below, because there is no room beside a bar."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if detail := task.fields["detail"]:
                yield Text(f"  {detail}", no_wrap=True, overflow="ellipsis")


@contextmanager
def progress_bar(rich: RichConsole, label: str, unit: str) -> Iterator[Progress]:
    """Draw a bar with rate and time left for the block, and remove it afterwards.

    Args:
        rich: the console to draw on.
        label: name of the work.
        unit: unit of progress, for example ``steps``.

    Yields:
        The function that updates the bar.
    """
    columns = (
        TextColumn("{task.description}", table_column=_label_column(rich.width)),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
    )
    bars = _BarsAndDetails(*columns, console=rich, transient=True, speed_estimate_period=_SPEED_SECONDS)
    with bars:
        task = bars.add_task(label, total=None, count="", detail="", rate="", left="")

        def update(done: float, total: float | None = None, detail: str = "") -> None:
            rate = rate_text(bars.tasks[0].speed, unit)
            count = f"{int(done):,}/{int(total):,}" if total else f"{int(done):,}"
            bars.update(task, completed=done, total=total, count=count, detail=detail, rate=rate)
            seconds = bars.tasks[0].time_remaining
            bars.update(task, left="" if seconds is None else f"{duration(seconds)} left")

        yield update


def _label_column(width: int) -> Column:
    """A long label is cut, not the numbers beside it."""
    return Column(no_wrap=True, overflow="ellipsis", max_width=max(12, width - _NUMBERS_WIDTH))
