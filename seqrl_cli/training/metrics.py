"""The metrics of a run: a file of one JSON object a log step."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seqrl_cli.runs.atomic import make_folder, write_text_atomic, writing


@dataclass(frozen=True)
class Metrics:
    """One log step.

    Args:
        step: updates made so far.
        epoch: passes over the training windows so far, with the fraction of the current one.
        loss: mean training loss since the previous log step.
        validation_loss: on held-out windows; None at steps without validation.
        learning_rate: of the last update.
        tokens_per_second: targets trained on a second since the previous log step, validation and checkpoints included.
        elapsed: seconds of training, interruptions not counted.
    """

    step: int
    epoch: float
    loss: float
    validation_loss: float | None
    learning_rate: float
    tokens_per_second: float
    elapsed: float


def append_metrics(path: Path, metrics: Metrics) -> None:
    """Add one line to the file, which is made when absent.

    Raises:
        SeqrlError: the file cannot be written.
    """
    make_folder(path.parent)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(metrics)) + "\n")


def read_metrics(path: Path) -> list[Metrics]:
    """All whole lines of the file; a last line that was cut off by a kill is left out, an absent file is empty."""
    if not path.exists():
        return []
    whole_lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [Metrics(**json.loads(line)) for line in whole_lines]


def rewind_metrics(path: Path, step: int) -> None:
    """Drop what was logged after ``step``, so that a resumed run logs no step twice."""
    if not path.exists():
        return
    kept = [json.dumps(asdict(metrics)) + "\n" for metrics in read_metrics(path) if metrics.step <= step]
    write_text_atomic(path, "".join(kept))
