"""What the fine-tuning loop works with: its settings, a learner, two collectors of episodes, the buffer, and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from seqrl_cli.data.policy_windows import PolicyBatch, Trajectory
from seqrl_cli.online.buffer import ReplayBuffer
from seqrl_cli.online.buffer_files import BufferFolder
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.policy_learner import PolicySettings


class Learner(Protocol):
    """The part of ``PolicyLearner`` that the loop uses."""

    step: int
    device: torch.device
    settings: PolicySettings

    def update(self, batch: PolicyBatch) -> Mapping[str, Tensor]:
        """Make one gradient step; returns its loss, nll, entropy, temperature and learning rate."""

    def checkpoint(self) -> Checkpoint:
        """Everything that ``restore`` needs."""

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint of the same model."""


@dataclass(frozen=True)
class EvaluationSummary:
    """Mean return, mean length, and normalized score in percent (None without reference scores) of some episodes."""

    return_: float
    score: float | None
    length: float


class CollectEpisodes(Protocol):
    """A function that plays episodes with the current policy."""

    def __call__(self, iteration: int, on_step: Callable[[], None]) -> list[Trajectory]:
        """Play the iteration's episodes; ``on_step`` is called now and then, and may raise."""


@dataclass(frozen=True)
class FinetuneContext:
    """Everything that the loop works with.

    Attributes:
        learner: the pretrained policy, its optimizer and its temperature; trained in place.
        explore: plays exploration episodes.
        evaluate: plays evaluation episodes.
        score: summarizes evaluation episodes.
        buffer: an empty buffer, which the loop fills from ``offline`` or from disk.
        offline: trajectories that the buffer starts with, in the order in which they will be evicted.
        buffer_files: the buffer on disk.
        checkpoints: the run's folder of checkpoints.
    """

    learner: Learner
    explore: CollectEpisodes
    evaluate: CollectEpisodes
    score: Callable[[Sequence[Trajectory]], EvaluationSummary]
    buffer: ReplayBuffer
    offline: Sequence[Trajectory]
    buffer_files: BufferFolder
    checkpoints: Path


@dataclass(frozen=True)
class OnlineSettings:
    """How to fine-tune; the paper's values are those of the configuration.

    Attributes:
        iterations: number of iterations of the whole run, including those before a resume.
        seed: seed of the choice of windows.
        episodes: exploration episodes per iteration.
        updates: gradient steps per iteration.
        batch_size: windows per update.
        context: steps per window.
        evaluate_every: iterations between evaluations; the last one is always evaluated.
        checkpoint_every: iterations between checkpoints; the last one is always saved.
        keep_checkpoints: newest checkpoints to keep, at least 1.
    """

    iterations: int
    seed: int
    episodes: int
    updates: int
    batch_size: int
    context: int
    evaluate_every: int
    checkpoint_every: int
    keep_checkpoints: int
