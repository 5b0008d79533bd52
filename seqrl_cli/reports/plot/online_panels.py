"""What online fine-tuning has logged: evaluations, exploration, entropy, temperature and loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from seqrl_cli.reports.plot.curves import Panel
from seqrl_cli.reports.plot.run_curves import (
    Curve,
    PlottedRun,
    as_series,
    band_note,
    group_by_method,
    legend_label,
    mean_of_seeds,
)
from seqrl_cli.tracking.metrics import OnlineLine, read_online_lines

Value = Callable[[OnlineLine], float | None]


def online_panels(runs: Sequence[PlottedRun]) -> list[Panel]:
    """Evaluations, exploration, entropy and temperature over the explored environment steps."""
    lines = [line for run in runs for line in read_online_lines(run.folder.metrics)]
    scored = any(line.get("evaluation_score") is not None for line in lines)
    shown: list[tuple[str, str, Value]] = [
        ("Exploration while fine-tuning", "return of an episode", lambda line: line.get("exploration_return")),
        ("Entropy while fine-tuning", "entropy (nats per action)", lambda line: line.get("entropy")),
        ("Temperature while fine-tuning", "weight of the entropy", lambda line: line.get("temperature")),
    ]
    if scored:
        shown.insert(0, ("Online fine-tuning", "normalized score (%)", lambda line: line.get("evaluation_score")))
    else:
        shown.insert(0, ("Online fine-tuning", "return", lambda line: line.get("evaluation_return")))
    panels = (
        _panel(runs, "online", title, ("environment steps explored", y_label), lambda line: line.env_steps, value)
        for title, y_label, value in shown
    )
    return [panel for panel in panels if panel]


def online_loss(runs: Sequence[PlottedRun]) -> list[Panel]:
    """The loss of fine-tuning over all updates, including those of pretraining."""
    labels = ("updates", "negative log-likelihood of actions (nats)")
    panel = _panel(runs, "loss", "Loss while fine-tuning", labels, lambda line: line.step, lambda line: line.get("nll"))
    return [panel] if panel else []


def _panel(
    runs: Sequence[PlottedRun],
    kind: str,
    title: str,
    axes: tuple[str, str],
    x: Callable[[OnlineLine], int],
    y: Value,
) -> Panel | None:
    read = partial(_curve, x_of=x, y_of=y)
    series = []
    for group in group_by_method(runs):
        mean = mean_of_seeds(group, read, interpolate=True)
        if mean:
            series.append(as_series(mean, legend_label([run for run in group if read(run)]), group))
    return Panel(kind, title + band_note(series, "seeds"), *axes, tuple(series)) if series else None


def _curve(run: PlottedRun, x_of: Callable[[OnlineLine], int], y_of: Value) -> Curve:
    points = ((float(x_of(line)), y_of(line)) for line in read_online_lines(run.folder.metrics))
    return [(x, y) for x, y in points if y is not None]
