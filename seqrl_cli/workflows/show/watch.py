"""``seqrl watch``: losses, speed and resources of a run while it is trained."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from seqrl_cli.config.presets import load_config
from seqrl_cli.console import Console, byte_size, counted, duration, printable
from seqrl_cli.console.lists import spark
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.holder import holder_process
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import status_of
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import LogLine, read_lines

_CHART_WIDTH = 48
_SHOWN = ("loss", "validation_loss", "nll", "learning_rate", "tokens_per_second", "entropy", "exploration_return")
_LABELS = {"nll": "negative log-likelihood"}
_LINE = ("loss", "validation_loss", "evaluation_return", "evaluation_score", "exploration_return")


@dataclass(frozen=True)
class Usage:
    """What a process uses: share of one core in percent, resident memory in bytes; None when unknown."""

    cpu_percent: float | None
    memory: int | None


@dataclass
class ProcessMeter:
    """Measures the process that writes a run, by what Linux tells about it."""

    folder: Path
    earlier: tuple[int, float, float] | None = field(default=None)

    def read(self) -> Usage | None:
        """The usage since the last reading; None if no process writes the run, or none can be looked at."""
        process = holder_process(self.folder)
        if process is None:
            return None
        try:
            stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return Usage(None, None)
        seconds = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        now, share = time.monotonic(), None
        if self.earlier is not None and self.earlier[0] == process and now > self.earlier[1]:
            share = 100 * (seconds - self.earlier[2]) / (now - self.earlier[1])
        self.earlier = (process, now, seconds)
        return Usage(share, pages * os.sysconf("SC_PAGE_SIZE"))


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment."""

    name: str
    record: RunRecord
    status: str
    total: int | None
    lines: Sequence[LogLine]
    usage: Usage | None

    @property
    def step(self) -> int:
        """Updates that have been logged."""
        return max((line.step for line in self.lines), default=0)  # a line of an evaluation may come late

    def column(self, name: str) -> list[tuple[int, float]]:
        """The logged values of a number, with their steps."""
        return [(line.step, value) for line in self.lines if (value := line.get(name)) is not None]


def show_live(store: RunStore, spec: str | None, console: Console, every: float, *, once: bool = False) -> None:
    """Show a run until it ends or Ctrl-C; one that is not being written is shown once.

    On a terminal the picture is renewed; elsewhere each new log step is printed as one line.

    Args:
        store: the run directory.
        spec: the run; None = the latest.
        console: prints.
        every: seconds between looks.
        once: look once, and print the picture.

    Raises:
        SeqrlError: there is no such run.
    """
    folder = store.find(spec, console.warn)
    meter = ProcessMeter(folder.path)
    first = _look(store, folder, meter)
    console.emit(_facts(first))
    if console.as_json:
        return
    if once or first.status != "running":
        console.show(_picture(first))
        return
    with suppress(KeyboardInterrupt):
        if console.stdout.isatty():
            console.show_with(lambda rich: _watch_live(rich, store, folder, meter, every))
        else:
            _print_lines(store, folder, meter, console, every)


def _watch_live(rich: Any, store: RunStore, folder: RunFolder, meter: ProcessMeter, every: float) -> None:
    snapshot = _look(store, folder, meter)
    with Live(_picture(snapshot), console=rich, auto_refresh=False) as live:
        while snapshot.status == "running":
            time.sleep(every)
            snapshot = _look(store, folder, meter)
            live.update(_picture(snapshot), refresh=True)


def _print_lines(store: RunStore, folder: RunFolder, meter: ProcessMeter, console: Console, every: float) -> None:
    printed = 0
    while True:
        snapshot = _look(store, folder, meter)
        if len(snapshot.lines) < printed:  # a resumed run has dropped what it will log again
            printed = 0
        for line in snapshot.lines[printed:]:
            console.show(_as_line(line, snapshot.total))
        printed = len(snapshot.lines)
        if snapshot.status != "running":
            console.show(f"{snapshot.name}: {snapshot.status}")
            return
        time.sleep(every)


def _look(store: RunStore, folder: RunFolder, meter: ProcessMeter) -> Snapshot:
    record = read_record(folder.record)
    total = None
    with suppress(SeqrlError):
        total = load_config(folder.config).train.updates if record.parent is None else None
    lines = read_lines(folder.metrics)
    return Snapshot(store.name_of(folder.path), record, status_of(folder, record), total, lines, meter.read())


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    usage = snapshot.usage
    return {
        "run": snapshot.name,
        "status": snapshot.status,
        "step": snapshot.step,
        "updates": snapshot.total,
        "last": {name: values[-1][1] for name in (*_SHOWN, *_LINE) if (values := snapshot.column(name))},
        "memory_bytes": usage.memory if usage else None,
    }


def _picture(snapshot: Snapshot) -> RenderableType:
    parts: list[RenderableType] = [_title(snapshot)]
    if snapshot.total:
        done = round(_CHART_WIDTH * min(snapshot.step / snapshot.total, 1.0))
        parts.append(Text("━" * done, "green").append("━" * (_CHART_WIDTH - done), "dim"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="crop")
    evaluations = [name for line in snapshot.lines for name in line.values if _is_evaluation(name)]
    for name in dict.fromkeys((*_SHOWN, *evaluations)):
        if values := snapshot.column(name):
            label = _LABELS.get(name, name.replace("_", " "))
            table.add_row(label, _number(values[-1][1]), spark([value for _, value in values]))
    parts.append(table)
    if not snapshot.lines:
        parts.append(Text("nothing has been logged yet", "dim"))
    parts.append(Text(_resources(snapshot), "dim"))
    return Group(*parts)


def _number(value: float) -> str:
    """Four digits, and whole numbers above them."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _is_evaluation(name: str) -> bool:
    return name in ("evaluation_return", "evaluation_score", "evaluation_success")


def _title(snapshot: Snapshot) -> Text:
    of = f" of {snapshot.total:,}" if snapshot.total else ""
    state = f"{snapshot.record.arch}, {snapshot.status}, update {snapshot.step:,}{of}"
    return Text(printable(f"{snapshot.name}  ({state}{_left(snapshot)})"), "bold")


def _left(snapshot: Snapshot) -> str:
    """The time that is left, by the speed of the last logged updates."""
    timed = [line for line in snapshot.lines if line.get("elapsed") is not None][-6:]
    if snapshot.status != "running" or not snapshot.total or len(timed) < 2:
        return ""
    steps, seconds = timed[-1].step - timed[0].step, timed[-1].elapsed - timed[0].elapsed
    if steps <= 0 or seconds <= 0:
        return ""
    return f", about {duration((snapshot.total - snapshot.step) * seconds / steps)} left"


def _resources(snapshot: Snapshot) -> str:
    usage = snapshot.usage
    parts = [f"{snapshot.record.device}, {counted(snapshot.record.threads, 'thread')}"]
    if usage is not None and usage.memory is not None:
        share = "" if usage.cpu_percent is None else f"{usage.cpu_percent:.0f} % of a core, "
        parts.append(f"{share}{byte_size(usage.memory)} of memory")
    elapsed = [line.elapsed for line in snapshot.lines if line.get("elapsed") is not None]
    return "; ".join([*parts, *([f"{duration(elapsed[-1])} so far"] if elapsed else [])])


def _as_line(line: LogLine, total: int | None) -> str:
    of = f"/{total:,}" if total else ""
    shown = [f"{name.replace('_', ' ')} {_number(value)}" for name in _LINE if (value := line.get(name)) is not None]
    return f"update {line.step:,}{of}  {', '.join(shown)}"
