"""The metrics of a fine-tuned run: a file of one JSON object an iteration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import make_folder, write_text_atomic, writing


@dataclass(frozen=True)
class OnlineMetrics:
    """One iteration; what an iteration has none of is None.

    Attributes:
        iteration: 0 is the model before fine-tuning, of which there is the evaluation alone.
        step: gradient updates in all, those of the pretraining included.
        env_steps: environment steps of exploration so far; those of evaluations are not counted.
        episodes: exploration episodes so far.
        exploration_return: mean return of the iteration's exploration episodes.
        exploration_length: their mean length.
        loss, nll, entropy, temperature, learning_rate: means over the iteration's updates; nll and entropy in nats an
            action, temperature is the weight of the entropy.
        buffer: trajectories in the buffer.
        buffer_return: their mean return.
        evaluation_return: mean return of the evaluation episodes.
        evaluation_score: the same as normalized score in percent; None without reference scores, too.
        evaluation_length: their mean length.
        elapsed: seconds so far, interruptions not counted.
    """

    iteration: int
    step: int
    env_steps: int
    episodes: int
    exploration_return: float | None
    exploration_length: float | None
    loss: float | None
    nll: float | None
    entropy: float | None
    temperature: float | None
    learning_rate: float | None
    buffer: int
    buffer_return: float
    evaluation_return: float | None
    evaluation_score: float | None
    evaluation_length: float | None
    elapsed: float


_WHOLE = ("iteration", "step", "env_steps", "episodes", "buffer")
_NAMES = {field.name for field in fields(OnlineMetrics)}


def append_online_metrics(path: Path, metrics: OnlineMetrics) -> None:
    """Add one line to the file, which is made when absent.

    Raises:
        SeqrlError: the file cannot be written.
    """
    make_folder(path.parent)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(metrics)) + "\n")


def read_online_metrics(path: Path) -> list[OnlineMetrics]:
    """The iterations of the file, in its order; an absent file is empty.

    A last line that was cut off by a kill is left out, and so is any line that holds no iteration.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror}", "check the permissions of the file") from error
    found = [_iteration(line) for line in text.split("\n")[:-1]]
    return [metrics for metrics in found if metrics]


def rewind_online_metrics(path: Path, iteration: int) -> None:
    """Drop what was logged after an iteration, so that a resumed run logs none twice; bad lines go with it."""
    if not path.exists():
        return
    kept = [line for line in read_online_metrics(path) if line.iteration <= iteration]
    write_text_atomic(path, "".join(json.dumps(asdict(line)) + "\n" for line in kept))


def _iteration(line: str) -> OnlineMetrics | None:
    """What a line holds; None when that is not an iteration."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict) or values.keys() != _NAMES:
        return None
    if not all(type(values[name]) is int for name in _WHOLE):
        return None
    if not all(value is None or type(value) in (int, float) for value in values.values()):
        return None
    return OnlineMetrics(**values)
