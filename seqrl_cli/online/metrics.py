"""The metrics of a fine-tuned run: a file of one JSON object an iteration."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from seqrl_cli.runs.json_lines import append_object, keep_objects, read_objects


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
    append_object(path, asdict(metrics))


def read_online_metrics(path: Path) -> list[OnlineMetrics]:
    """The iterations of the file, in its order; lines that hold none are left out, and an absent file is empty.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    return [metrics for values in read_objects(path) if (metrics := _iteration(values))]


def rewind_online_metrics(path: Path, iteration: int) -> None:
    """Drop what was logged after an iteration, so that a resumed run logs none twice; bad lines go with it."""
    keep_objects(path, lambda values: bool((metrics := _iteration(values)) and metrics.iteration <= iteration))


def _iteration(values: dict[str, Any]) -> OnlineMetrics | None:
    """The values of a line as an iteration; None when they are not one's."""
    if values.keys() != _NAMES:
        return None
    if not all(type(values[name]) is int for name in _WHOLE):
        return None
    if not all(value is None or type(value) in (int, float) for value in values.values()):
        return None
    return OnlineMetrics(**values)
