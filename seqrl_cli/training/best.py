"""The best checkpoint of a run: which one it is, by which number, and that no pruning removes it.

``best.json`` in the folder ``checkpoints`` names it. Each checkpoint states in its ``state.json`` what was measured of
it, so a process that was killed between the checkpoint and ``best.json`` loses nothing: the next one compares again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.files.atomic import write_json_atomic
from seqrl_cli.files.json_text import read_json
from seqrl_cli.tracking.metrics import Values
from seqrl_cli.training.checkpoint_folders import step_folder

BEST_FILE = "best.json"
LOSS = "validation_loss"
_EVALUATIONS = ("evaluation_success", "evaluation_score", "evaluation_return")


@dataclass(frozen=True)
class Best:
    """A checkpoint with the number that it is judged by.

    Attributes:
        step: updates made.
        measure: ``validation_loss``, of which lower is better, or a number of an evaluation, of which higher is.
        value: the number.
    """

    step: int
    measure: str
    value: float

    @property
    def is_loss(self) -> bool:
        """Whether lower is better."""
        return self.measure == LOSS

    def beats(self, other: Best | None) -> bool:
        """Whether this checkpoint takes the other's place: an evaluation tells more than a loss."""
        if other is None or (other.is_loss and not self.is_loss):
            return True
        if self.measure != other.measure:
            return False
        return self.value < other.value if self.is_loss else self.value > other.value

    def as_dict(self) -> dict[str, int | str | float]:
        """The fields as the file stores them."""
        return {"step": self.step, "measure": self.measure, "value": self.value}


def judged(step: int, values: Values, *, evaluated: bool) -> Best | None:
    """What a log step says of its model; None if it says nothing.

    Args:
        step: updates made.
        values: the numbers of the log step.
        evaluated: whether they are of an evaluation, rather than losses.
    """
    for measure in _EVALUATIONS if evaluated else (LOSS,):
        value = values.get(measure)
        if value is not None and math.isfinite(value):
            return Best(step, measure, value)
    return None


def read_best(checkpoints: Path) -> Best | None:
    """The best checkpoint; None if none is named, or the one that is named is not there."""
    try:
        found = best_from(read_json(checkpoints / BEST_FILE))
    except (OSError, ValueError):
        return None
    return found if found is not None and step_folder(checkpoints, found.step).is_dir() else None


def best_from(values: object) -> Best | None:
    """A checkpoint's judgement from its JSON; None if it is none."""
    if not isinstance(values, dict):
        return None
    step, measure, value = (values.get(key) for key in ("step", "measure", "value"))
    known = measure in (LOSS, *_EVALUATIONS)
    if type(step) is not int or step < 0 or not known or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Best(step, str(measure), float(value))


def offer(checkpoints: Path, candidate: Best | None) -> bool:
    """Name a checkpoint, which is already written, as the best if it is; returns whether it is.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    if candidate is None or not candidate.beats(read_best(checkpoints)):
        return False
    write_json_atomic(checkpoints / BEST_FILE, candidate.as_dict())
    return True
