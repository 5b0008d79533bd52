"""Pictures of results: training curves, returns of plans, seconds a step, and the papers' bar chart.

Every function takes plain data and the path of a PNG, PDF or SVG, which it writes atomically.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqrl_cli.errors import UsageError
from seqrl_cli.runs.atomic import atomic_path
from seqrl_cli.training.metrics import Metrics

FORMATS = (".png", ".pdf", ".svg")
GREY, GOLD, RED, BLUE = "#B4B4B4", "#F6C781", "#EC7C7D", "#70ABCC"
LINES = ("#2F6F9F", "#D1495B", "#EDAE49", "#3C8D5A", "#7A5195", "#5B5B5B")
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8A8A8A",
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": "#4A4A4A",
    "ytick.color": "#4A4A4A",
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Curve:
    """One run's numbers over updates: ``steps`` and ``values`` are of one length."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Bar:
    """A mean with what is known of its spread, and the values behind it where they should be seen.

    Attributes:
        label: name below the bar.
        mean: height.
        interval: ``(low, high)``; None draws no whisker.
        values: single results, drawn as dots.
    """

    label: str
    mean: float
    interval: tuple[float, float] | None = None
    values: tuple[float, ...] = ()


def curve(log: Sequence[Metrics], key: Literal["loss", "validation_loss", "learning_rate"]) -> Curve:
    """The log steps that have a number for ``key``, against updates."""
    points = [(line.step, float(value)) for line in log if (value := getattr(line, key)) is not None]
    return Curve(tuple(step for step, _ in points), tuple(value for _, value in points))


def plot_training(runs: Mapping[str, tuple[Curve, Curve]], output: Path) -> None:
    """Loss (thin) and validation loss (bold) against updates, one colour a run.

    Args:
        runs: name of the run to its loss and validation loss; either may be empty.
        output: the picture.
    """
    with _picture(output, width=7.2, height=4.2) as axes:
        for index, (name, (loss, validation)) in enumerate(runs.items()):
            colour = LINES[index % len(LINES)]
            axes.plot(loss.steps, loss.values, color=colour, linewidth=1.0, alpha=0.55, label=f"{name}, training")
            if validation.steps:
                label = f"{name}, held out"
                axes.plot(validation.steps, validation.values, "o-", color=colour, markersize=3.5, label=label)
        axes.set(title="Loss", xlabel="updates", ylabel="cross-entropy a token (nats)")
        axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
        axes.legend(loc="upper right")


def plot_returns(bars: Sequence[Bar], output: Path, references: Mapping[str, float] | None = None) -> None:
    """Return of each run's plans: a dot an episode, the mean and its interval; references as dashed lines."""
    with _picture(output, width=max(4.8, 1.4 + 1.15 * len(bars)), height=4.2) as axes:
        for place, bar in enumerate(bars):
            colour = LINES[place % len(LINES)]
            axes.scatter(_spread(place, len(bar.values)), bar.values, color=colour, s=16, alpha=0.35, linewidths=0)
            _mean_with_interval(axes, place, bar, colour)
        for name, value in (references or {}).items():
            axes.axhline(value, color="#8A8A8A", linestyle=(0, (4, 3)), linewidth=1.0)
            axes.text(
                1.01, value, name, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5, color="#5B5B5B"
            )
        _name_places(axes, [bar.label for bar in bars])
        axes.grid(axis="x", visible=False)
        axes.set(title="Return of plans", ylabel="return", xlim=(-0.6, len(bars) - 0.4))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))


def plot_averages(bars: Sequence[Bar], output: Path) -> None:
    """Bar chart of mean normalized scores, in the colours of the Trajectory Transformer's figure.

    The last bar is blue, the one before it red, the one before that gold, all others grey.
    """
    colours = [GREY] * max(0, len(bars) - 3) + [GOLD, RED, BLUE][-len(bars) :]
    with _picture(output, width=max(4.2, 1.2 + 0.85 * len(bars)), height=3.6) as axes:
        heights = [bar.mean for bar in bars]
        drawn = axes.bar(range(len(bars)), heights, color=colours, width=0.72)
        axes.bar_label(drawn, fmt="%.1f", padding=3, fontsize=9, color="#4A4A4A")
        _name_places(axes, [bar.label for bar in bars])
        axes.grid(axis="x", visible=False)
        axes.set(title="Average of nine locomotion settings", ylabel="normalized score")
        axes.set_ylim(min(0.0, *heights), 1.12 * max(heights))


def plot_step_times(series: Mapping[str, Sequence[tuple[int, float]]], output: Path) -> None:
    """Seconds of one planned step against the horizon, one line a method; ``series`` holds (horizon, seconds)."""
    with _picture(output, width=6.0, height=4.0) as axes:
        for index, (name, points) in enumerate(series.items()):
            horizons, seconds = zip(*sorted(points), strict=True)
            axes.plot(horizons, seconds, "o-", color=LINES[index % len(LINES)], markersize=5, label=name)
        axes.set(title="Time of one planned step", xlabel="horizon (transitions)", ylabel="seconds")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")


@contextmanager
def _picture(output: Path, width: float, height: float) -> Iterator[Axes]:
    """Axes of ``width`` by ``height`` inches, written to ``output`` when the block ends well."""
    if output.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write a picture as {output.suffix or 'a file without extension'}: {output}",
            f"end the name in one of {', '.join(FORMATS)}",
        )
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.subplots()
        with atomic_path(output) as temporary:
            figure.savefig(temporary, dpi=160)


def _mean_with_interval(axes: Axes, place: int, bar: Bar, colour: str) -> None:
    if bar.interval:
        low, high = bar.interval
        axes.plot([place, place], [low, high], color=colour, linewidth=2.2, solid_capstyle="round")
    axes.plot(place, bar.mean, "D", color=colour, markersize=7, markeredgecolor="white")
    axes.annotate(f"{bar.mean:,.0f}", (place, bar.mean), xytext=(9, -3), textcoords="offset points", fontsize=9)


def _spread(place: int, count: int) -> list[float]:
    """Places of ``count`` dots beside one another, left of the mean."""
    return [place - 0.22 + 0.12 * (index / max(count - 1, 1) - 0.5) for index in range(count)]


def _name_places(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_xticks(range(len(labels)), [label.replace(" ", "\n") for label in labels])
    axes.tick_params(axis="x", length=0)
