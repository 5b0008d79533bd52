"""The learning rate as a function of the tokens seen, and the number of updates of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from seqrl_cli.errors import SeqrlError, unknown

Curve: TypeAlias = Literal["clamped", "tt-exact", "linear"]

PAPER_DECAY_EPOCHS = 20
FLOOR = 0.1


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then half a cosine down to a tenth of the rate, or a line down to zero.

    Attributes:
        kind: ``clamped`` stays at a tenth after ``final_tokens``; ``tt-exact`` follows the cosine up and down again,
            as the Trajectory Transformer's published runs did; ``linear`` ends at zero.
        warmup_tokens: tokens until the full rate is reached.
        final_tokens: tokens until the curve reaches its minimum.

    Raises:
        SeqrlError: the kind is unknown.
    """

    kind: Curve
    warmup_tokens: int
    final_tokens: int

    def __post_init__(self) -> None:
        if self.kind not in get_args(Curve):
            raise unknown("schedule", self.kind, get_args(Curve))

    def multiplier(self, tokens: int) -> float:
        """The factor of the learning rate after ``tokens`` targets, not counting stop tokens."""
        if tokens < self.warmup_tokens:
            return tokens / self.warmup_tokens
        progress = (tokens - self.warmup_tokens) / max(1, self.final_tokens - self.warmup_tokens)
        if self.kind == "linear":
            return max(0.0, 1 - progress)
        if self.kind == "clamped":
            progress = min(progress, 1.0)
        return max(FLOOR, 0.5 * (1 + math.cos(math.pi * progress)))


def paper_schedule(kind: Curve, windows: int, block_size: int) -> Schedule:
    """The original schedule: warm-up for one epoch, decay until the twentieth.

    Args:
        kind: see ``Schedule``.
        windows: training windows, ``len(dataset)``.
        block_size: targets per window.
    """
    return Schedule(kind, windows * block_size, PAPER_DECAY_EPOCHS * windows * block_size)


def scaled_schedule(
    kind: Curve, updates: int, batch_size: int, block_size: int, warmup_fraction: float = 0.05
) -> Schedule:
    """A schedule for runs shorter than the paper's: warm-up for a fraction of the updates, decay until the last.

    Args:
        kind: see ``Schedule``.
        updates: updates of the whole run.
        batch_size: windows per update.
        block_size: targets per window.
        warmup_fraction: fraction of the updates until the full rate is reached.
    """
    tokens = updates * batch_size * block_size
    return Schedule(kind, round(warmup_fraction * tokens), tokens)


def paper_epochs(windows: int, n_epochs_ref: int) -> int:
    """Epochs that take as many updates as ``n_epochs_ref`` epochs over a million windows."""
    return max(1, int(1e6 / windows * n_epochs_ref))


def paper_updates(windows: int, batch_size: int, n_epochs_ref: int) -> int:
    """Updates of the original's run: its epochs times the batches per epoch, including the short last one.

    Args:
        windows: training windows.
        batch_size: windows per update.
        n_epochs_ref: epochs for a dataset of 1e6 windows.

    Raises:
        SeqrlError: there are no windows.
    """
    if windows < 1:
        raise SeqrlError("the dataset has no training window", "use a dataset with more episodes")
    return paper_epochs(windows, n_epochs_ref) * math.ceil(windows / batch_size)
