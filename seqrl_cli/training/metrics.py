"""The metrics of a run: a file of one JSON object a log step."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import make_folder, write_text_atomic, writing


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

    def line(self) -> str:
        """The log step as a line of the file; what only some models have is left out for the others."""
        values = asdict(self)
        shown = {name: value for name, value in values.items() if value is not None or name == "validation_loss"}
        return json.dumps(shown) + "\n"


def append_metrics(path: Path, metrics: Metrics) -> None:
    """Add one line to the file, which is made when absent.

    Raises:
        SeqrlError: the file cannot be written.
    """
    make_folder(path.parent)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(metrics.line())


def read_metrics(path: Path) -> list[Metrics]:
    """The log steps of the file, in its order; an absent file is empty.

    A last line that was cut off by a kill is left out, and so is any line that holds no log step: a log is read to be
    looked at, and one bad line must not hide the others.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror}", "check the permissions of the file") from error
    found = [_log_step(line) for line in text.split("\n")[:-1]]
    return [metrics for metrics in found if metrics]


def rewind_metrics(path: Path, step: int) -> None:
    """Drop what was logged after ``step``, so that a resumed run logs no step twice; bad lines go with it."""
    if not path.exists():
        return
    kept = [metrics.line() for metrics in read_metrics(path) if metrics.step <= step]
    write_text_atomic(path, "".join(kept))


def _log_step(line: str) -> Metrics | None:
    """What a line holds; None when that is not a log step."""
    try:
        values = json.loads(line)
        metrics = Metrics(**values)
    except (ValueError, TypeError):
        return None
    numbers = [value for name, value in values.items() if not (name == "validation_loss" and value is None)]
    whole = isinstance(metrics.step, int) and all(type(value) in (int, float) for value in numbers)
    return metrics if whole else None
