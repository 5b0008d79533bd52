"""Reads and writes ``metrics.jsonl``, which has one JSON object per log step.

Every line has a ``step``; its other numbers are an open mapping from names to numbers. A line may have names that this
version does not know: they are read, and no resume removes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import require_folder, write_bytes_atomic, writing
from seqrl_cli.files.json_text import parse_json
from seqrl_cli.files.regular import open_own, read_bytes, reason

_MAX_BYTES = 2**28  # about a million lines

Values = Mapping[str, float | None]
"""Numbers by name; None for a number that this step lacks."""


@dataclass(frozen=True)
class LogLine:
    """One log step.

    Attributes:
        step: updates made so far.
        values: all other numbers of the line, including ``elapsed``.
    """

    step: int
    values: Values

    @property
    def elapsed(self) -> float:
        """Seconds so far, without interruptions."""
        return self.number("elapsed")

    def number(self, name: str) -> float:
        """A number that every line of its kind has."""
        value = self.values[name]
        assert value is not None, f"the line has no {name}"
        return value

    def get(self, name: str) -> float | None:
        """A number that only some lines have; None if this one lacks it."""
        return self.values.get(name)

    def as_dict(self) -> dict[str, float | None]:
        """The line as in the file, without values that are not numbers."""
        return {"step": self.step, **self.values}


class TrainingLine(LogLine):
    """A log step of training on a dataset.

    Every line has ``loss`` and ``elapsed``; none has ``iteration``. The names:
        epoch: passes over the training windows so far, including the fraction of the current one.
        loss: mean training loss since the previous log step.
        validation_loss: on held-out windows; for a policy, the negative log-likelihood or squared error of the
            actions there. None at steps without validation.
        learning_rate: of the last update.
        tokens_per_second: targets per second since the previous log step, including the time of validation and
            checkpoints; a policy's targets are actions.
        nll: for a stochastic policy, the mean loss without the entropy term since the previous log step.
        entropy: for a stochastic policy, the mean since the previous log step.
        temperature: for a stochastic policy, the weight of the entropy in the last update.
    """

    @property
    def loss(self) -> float:
        """Mean training loss since the previous log step."""
        return self.number("loss")


class OnlineLine(LogLine):
    """An iteration of online fine-tuning; its step counts the updates of the pretraining, too.

    Every line has ``iteration``, ``env_steps`` and ``elapsed``. The names:
        iteration: 0 is the model before fine-tuning, which is only evaluated.
        env_steps: environment steps of exploration so far, without those of evaluations.
        episodes: exploration episodes so far.
        exploration_return: mean return of the iteration's exploration episodes.
        exploration_length: their mean length.
        loss, nll, entropy, temperature, learning_rate: means over the iteration's updates; nll and entropy in nats per
            action, temperature is the weight of the entropy.
        buffer: trajectories in the buffer.
        buffer_return: their mean return.
        evaluation_return: mean return of the evaluation episodes.
        evaluation_score: the same as a normalized score in percent; None if there are no reference scores.
        evaluation_length: their mean length.
    """

    @property
    def iteration(self) -> int:
        """Completed iterations."""
        return int(self.number("iteration"))

    @property
    def env_steps(self) -> int:
        """Environment steps of exploration so far."""
        return int(self.number("env_steps"))


class EvaluationLine(LogLine):
    """An evaluation in the middle of training; its step counts the updates of the model that played.

    It is written when it ends, while training has gone on: it comes after lines of later steps.

    Every line has ``evaluation_episodes`` and ``evaluation_seconds``; none has ``loss`` or ``iteration``. The names:
        evaluation_episodes: episodes played, of all tasks.
        evaluation_seconds: wall time.
        evaluation_return: mean return; with several tasks the mean of their means, as in all that follow.
        evaluation_score: the same as a normalized score in percent, over the tasks with reference scores.
        evaluation_success: fraction of episodes that were solved at any step, over the tasks that report success.
        evaluation_success_at_end: fraction that were solved at the last step.
        evaluation_return/TASK …: the same of one task, named by its environment, where there are several.
    """


def append_line(path: Path, step: int, values: Values) -> None:
    """Append one line to the file, which is created when absent.

    Raises:
        SeqrlError: the file cannot be written, or its folder is gone.
    """
    require_folder(path.parent)
    with writing(path), open_own(path, "ab") as file:
        file.write(json.dumps({"step": step, **values}).encode() + b"\n")


def read_training_lines(path: Path) -> list[TrainingLine]:
    """The log steps of training, in the file's order. Other lines are left out; an absent file has no lines.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    lines = [TrainingLine(line.step, line.values) for line in read_lines(path)]
    return [line for line in lines if _has(line, "loss", "elapsed") and not _has(line, "iteration")]


def validation_losses(path: Path) -> list[tuple[int, float]]:
    """The steps with a validation loss, and the losses, in the file's order.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    return _validated(read_training_lines(path))


def last_validation_loss(lines: Sequence[LogLine]) -> float | None:
    """The validation loss of the last of some lines that has one; None if none has."""
    losses = _validated(lines)
    return losses[-1][1] if losses else None


def lowest_validation_loss(path: Path) -> tuple[int, float] | None:
    """The step with the lowest validation loss, and that loss, where it is a number; None if there is none.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    losses = [(step, loss) for step, loss in validation_losses(path) if not math.isnan(loss)]
    return min(losses, key=lambda pair: pair[1], default=None)


def _validated(lines: Sequence[LogLine]) -> list[tuple[int, float]]:
    return [(line.step, loss) for line in lines if (loss := line.get("validation_loss")) is not None]


def read_online_lines(path: Path) -> list[OnlineLine]:
    """The iterations of online fine-tuning, in the file's order. Other lines are left out; an absent file has none.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    lines = [OnlineLine(line.step, line.values) for line in read_lines(path)]
    return [line for line in lines if _has(line, "iteration", "env_steps", "elapsed")]


def read_evaluation_lines(path: Path) -> list[EvaluationLine]:
    """The evaluations in the middle of training, in the file's order. Other lines are left out.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    return [EvaluationLine(line.step, line.values) for line in read_lines(path) if is_evaluation(line)]


def is_evaluation(line: LogLine) -> bool:
    """Whether a line is an evaluation in the middle of training."""
    return _has(line, "evaluation_episodes") and not _has(line, "iteration")


def rewind(path: Path, step: int) -> None:
    """Drop what was logged after a step, so that a resumed run logs no step twice.

    An incomplete last line is dropped, too. Lines without a readable step are kept; kept lines are not rewritten.

    Raises:
        SeqrlError: the file cannot be read or written.
    """
    if path.exists():
        dated = ((line, _step_of(_parsed(line))) for line in _whole_lines(path))
        write_bytes_atomic(path, b"".join(line + b"\n" for line, at in dated if at is None or at <= step))


def read_lines(path: Path) -> list[LogLine]:
    """Lines of any kind of log step, in the file's order; one bad line does not hide the others.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    found = (_parsed(line) for line in _whole_lines(path))
    return [LogLine(step, _numbers(values)) for values in found if (step := _step_of(values)) is not None]


def _whole_lines(path: Path) -> list[bytes]:
    """The lines without their newlines; an incomplete last line is left out."""
    try:
        return read_bytes(path, _MAX_BYTES).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {reason(error)}", "check the file") from error


def _parsed(line: bytes) -> Any:
    """The value of a line; None if it is not JSON."""
    try:
        return parse_json(line)
    except ValueError:
        return None


def _step_of(values: Any) -> int | None:
    """The step of a line's object; None if it has no readable one."""
    step = values.get("step") if isinstance(values, dict) else None
    return step if type(step) is int else None


def _numbers(values: dict[str, Any]) -> Values:
    return {name: value for name, value in values.items() if name != "step" and _is_number_or_none(value)}


def _is_number_or_none(value: Any) -> bool:
    return value is None or type(value) in (int, float)


def _has(line: LogLine, *names: str) -> bool:
    return all(line.get(name) is not None for name in names)
