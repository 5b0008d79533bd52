"""What online fine-tuning has logged: how it scores, what exploration earns, and what the policy becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from seqrl_cli.reports.plot.curves import Panel
from seqrl_cli.reports.plot.run_curves import Curve, Member, as_series, bands, mean_of_seeds, methods, named
from seqrl_cli.tracking.metrics import OnlineLine, read_online_lines

Value = Callable[[OnlineLine], float | None]


def online_panels(members: Sequence[Member]) -> list[Panel]:
    """Evaluations, exploration, entropy and temperature against the environment steps that were explored."""
    lines = [line for member in members for line in read_online_lines(member.folder.metrics)]
    scored = any(line.get("evaluation_score") is not None for line in lines)
    shown: list[tuple[str, str, Value]] = [
        ("Exploration while fine-tuning", "return of an episode", lambda line: line.get("exploration_return")),
        ("Entropy while fine-tuning", "entropy (nats an action)", lambda line: line.get("entropy")),
        ("Temperature while fine-tuning", "weight of the entropy", lambda line: line.get("temperature")),
    ]
    if scored:
        shown.insert(0, ("Online fine-tuning", "normalized score (%)", lambda line: line.get("evaluation_score")))
    else:
        shown.insert(0, ("Online fine-tuning", "return", lambda line: line.get("evaluation_return")))
    panels = (
        _panel(members, "online", title, ("environment steps explored", y_label), lambda line: line.env_steps, value)
        for title, y_label, value in shown
    )
    return [panel for panel in panels if panel]


def online_loss(members: Sequence[Member]) -> list[Panel]:
    """The loss of fine-tuning against all updates, those of the pretraining included."""
    labels = ("updates", "negative log-likelihood of actions (nats)")
    panel = _panel(
        members, "loss", "Loss while fine-tuning", labels, lambda line: line.step, lambda line: line.get("nll")
    )
    return [panel] if panel else []


def _panel(
    members: Sequence[Member],
    kind: str,
    title: str,
    axes: tuple[str, str],
    place: Callable[[OnlineLine], int],
    value: Value,
) -> Panel | None:
    read = partial(_curve, place=place, value=value)
    series = []
    for group in methods(members):
        mean = mean_of_seeds(group, read, grid=True)
        if mean:
            series.append(as_series(mean, named([member for member in group if read(member)]), group))
    return Panel(kind, title + bands(series, "seeds"), *axes, tuple(series)) if series else None


def _curve(member: Member, place: Callable[[OnlineLine], int], value: Value) -> Curve:
    points = ((float(place(line)), value(line)) for line in read_online_lines(member.folder.metrics))
    return [(x, y) for x, y in points if y is not None]
