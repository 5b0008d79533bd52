"""What the loop of online fine-tuning works with, handed down by whoever wires the rooms together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from seqrl_cli.data.policy_windows import PolicyBatch, Trajectory
from seqrl_cli.online.buffer import ReplayBuffer
from seqrl_cli.online.buffer_files import SegmentFolder
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.policy_learner import PolicySettings


class Learner(Protocol):
    """What the loop asks of the policy's learner."""

    step: int
    device: torch.device
    settings: PolicySettings

    def update(self, batch: PolicyBatch) -> Mapping[str, Tensor]:
        """One gradient step; its loss, nll, entropy, temperature and learning rate."""

    def checkpoint(self) -> Checkpoint:
        """All that ``restore`` needs."""

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Go on from a checkpoint of the same model."""


@dataclass(frozen=True)
class Evaluation:
    """Mean return, normalized score in percent (None without reference scores) and length of some episodes."""

    return_: float
    score: float | None
    length: float


class Play(Protocol):
    """Episodes of the policy as it is now."""

    def __call__(self, iteration: int, on_step: Callable[[], None]) -> list[Trajectory]:
        """Play the iteration's episodes; ``on_step`` is called between steps and may raise."""


@dataclass(frozen=True)
class Workplace:
    """What the loop works with.

    Attributes:
        learner: the pretrained policy with its optimizer and temperature; trained in place.
        explore: plays exploration episodes.
        evaluate: plays evaluation episodes.
        score: of evaluation episodes.
        buffer: empty; filled from ``offline`` or from disk.
        offline: the trajectories that the buffer begins with, the first to be evicted first.
        segments: the buffer on disk.
        checkpoints: the run's folder of checkpoints.
    """

    learner: Learner
    explore: Play
    evaluate: Play
    score: Callable[[Sequence[Trajectory]], Evaluation]
    buffer: ReplayBuffer
    offline: Sequence[Trajectory]
    segments: SegmentFolder
    checkpoints: Path
