"""A progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from seqrl_cli.console.progress import Progress
from seqrl_cli.console.text import rate_text

_SPEED_SECONDS = 300.0  # window over which a rate is averaged: a step of many plans may take half a minute


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
        rich: where to draw.
        label: name of the work.
        unit: unit of progress, for example ``steps``.

    Yields:
        The function that updates the bar.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bars = _BarsAndDetails(*columns, console=rich, transient=True, speed_estimate_period=_SPEED_SECONDS)
    with bars:
        task = bars.add_task(label, total=None, detail="", rate="")

        def update(done: float, total: float | None = None, detail: str = "") -> None:
            rate = rate_text(bars.tasks[0].speed, unit)
            bars.update(task, completed=done, total=total, detail=detail, rate=rate)

        yield update
