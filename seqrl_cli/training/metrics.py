"""The metrics of a run: a file of one JSON object a log step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqrl_cli.runs.json_lines import append_object, keep_objects, read_objects


@dataclass(frozen=True)
class Metrics:
    """One log step.

    Args:
        step: updates made so far.
        epoch: passes over the training windows so far, with the fraction of the current one.
        loss: mean training loss since the previous log step.
        validation_loss: on held-out windows, of a policy its distance to the actions there, negative log-likelihood
            or squared error; None at steps without validation.
        learning_rate: of the last update.
        tokens_per_second: targets trained on a second since the previous log step, validation and checkpoints included;
            a policy's target is an action.
        elapsed: seconds of training, interruptions not counted.
        nll: the loss without its entropy, mean since the previous log step; None but of a stochastic policy.
        entropy: of a stochastic policy, mean since the previous log step.
        temperature: of a stochastic policy's entropy, in the last update.
    """

    step: int
    epoch: float
    loss: float
    validation_loss: float | None
    learning_rate: float
    tokens_per_second: float
    elapsed: float
    nll: float | None = None
    entropy: float | None = None
    temperature: float | None = None

    def shown(self) -> dict[str, Any]:
        """The log step as it stands in the file; what only some models have is left out for the others."""
        values = asdict(self)
        return {name: value for name, value in values.items() if value is not None or name == "validation_loss"}


def append_metrics(path: Path, metrics: Metrics) -> None:
    """Add one line to the file, which is made when absent.

    Raises:
        SeqrlError: the file cannot be written.
    """
    append_object(path, metrics.shown())


def read_metrics(path: Path) -> list[Metrics]:
    """The log steps of the file, in its order; lines that hold none are left out, and an absent file is empty.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    return [metrics for values in read_objects(path) if (metrics := _log_step(values))]


def rewind_metrics(path: Path, step: int) -> None:
    """Drop what was logged after ``step``, so that a resumed run logs no step twice; bad lines go with it."""
    keep_objects(path, lambda values: bool((metrics := _log_step(values)) and metrics.step <= step))


def _log_step(values: dict[str, Any]) -> Metrics | None:
    """The values of a line as a log step; None when they are not one's."""
    try:
        metrics = Metrics(**values)
    except TypeError:
        return None
    numbers = [value for name, value in values.items() if not (name == "validation_loss" and value is None)]
    whole = isinstance(metrics.step, int) and all(type(value) in (int, float) for value in numbers)
    return metrics if whole else None
