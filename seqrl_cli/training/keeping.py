"""What a training leaves beside its model: checkpoints, and the numbers of evaluations beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from seqrl_cli.tracking.metrics import Values
from seqrl_cli.tracking.sinks import Sink, send
from seqrl_cli.training.best import judged, offer, read_best
from seqrl_cli.training.checkpoints import Checkpoint, copy_of, write_checkpoint
from seqrl_cli.training.evaluation import Evaluation, Pending
from seqrl_cli.training.trainer import Trainer
from seqrl_cli.training.world import World


@dataclass
class Keeper:
    """Writes checkpoints, and knows which is the best.

    Attributes:
        job: what is trained.
        checkpoints: folder of the checkpoints; None to keep nothing.
        keep: newest checkpoints to keep.
        evaluated: whether evaluations decide which is the best, rather than the validation loss.
        saved: updates of the checkpoint that was written or read last.
    """

    job: Trainer
    checkpoints: Path | None
    keep: int
    evaluated: bool
    saved: int

    def save(self, values: Values) -> None:
        """Write a checkpoint, of which ``values`` were measured."""
        if self.checkpoints:
            judgement = None if self.evaluated else judged(self.job.step, values, evaluated=False)
            write_checkpoint(self.checkpoints, self.job.checkpoint(), self.keep, judgement)
            self.saved = self.job.step

    def snapshot(self) -> Checkpoint | None:
        """A copy of what is trained, unless its checkpoint is written already or none is wanted."""
        return copy_of(self.job.checkpoint()) if self.checkpoints and self.saved != self.job.step else None

    def save_as_of(self, step: int, snapshot: Checkpoint | None) -> None:
        """Write the checkpoint of an update, unless it is written; arguments as for :meth:`keep_if_best`."""
        if self.checkpoints and self.saved != step:
            write_checkpoint(self.checkpoints, snapshot or self.job.checkpoint(), self.keep)
            self.saved = step

    def keep_if_best(self, step: int, values: Values, snapshot: Checkpoint | None = None) -> None:
        """Keep the model that was evaluated after ``step`` updates, if it did best so far.

        Args:
            step: updates of the model; no later checkpoint was written.
            values: what was measured.
            snapshot: what was trained at that time; None if it was written, or is what is trained now.
        """
        judgement = judged(step, values, evaluated=True)
        if not self.checkpoints or judgement is None or not judgement.beats(read_best(self.checkpoints)):
            return
        if self.saved == step:
            offer(self.checkpoints, judgement)
        else:
            write_checkpoint(self.checkpoints, snapshot or self.job.checkpoint(), self.keep, judgement)
            self.saved = step


@dataclass(frozen=True)
class _Underway:
    """An evaluation that plays beside training."""

    step: int
    pending: Pending
    snapshot: Checkpoint | None


@dataclass
class Evaluations:
    """Evaluates a model now and then, and logs each result under the update that it belongs to.

    No checkpoint is written before all earlier evaluations are logged. So a run that resumes from it, whatever ended
    the process, has lost none; and of the models that were evaluated the best can still be kept.

    Attributes:
        evaluation: when and how to evaluate; None for never.
        model: what is trained.
        sinks: receive the numbers.
        keeper: keeps the model if it is the best so far.
        interrupted: whether to stop.
        world: the processes that train together; all of them call the same methods.
        abandoned_at: updates of the evaluation that was interrupted, with whose model the run resumes.
    """

    evaluation: Evaluation | None
    model: nn.Module
    sinks: Sequence[Sink]
    keeper: Keeper
    interrupted: Callable[[], bool]
    world: World
    abandoned_at: int | None = None
    _underway: _Underway | None = None

    def is_due(self, step: int) -> bool:
        """Whether the model is evaluated after ``step`` updates."""
        return self.evaluation is not None and self.evaluation.is_due(step)

    def begin(self, step: int) -> bool:
        """Begin the evaluation after ``step`` updates; returns whether it was interrupted at once."""
        assert self.evaluation is not None and self._underway is None
        pending = self.evaluation.begin(self.model)
        snapshot = None if pending.is_ready() else self.keeper.snapshot()
        self._underway = _Underway(step, pending, snapshot)
        return self._agree(not pending.is_ready() or self._collect())

    def resume(self, step: int) -> bool:
        """Make up for the evaluation that was due where a run resumes; returns whether it was interrupted at once."""
        if self.evaluation is None or not self.evaluation.is_due(step):
            return False
        if self.evaluation.is_done(step):
            self.keeper.keep_if_best(step, self.evaluation.logged(step) or {})
            return self.world.any(False)
        return self.begin(step)

    def collect_if_ready(self) -> None:
        """Log the result of the evaluation underway if it is there."""
        if self._underway is not None and self._underway.pending.is_ready():
            self._collect()

    def settle(self) -> bool:
        """Wait for the evaluation underway and log its result; returns whether a process was interrupted meanwhile."""
        return False if self.evaluation is None else self._agree(self._collect())

    def _agree(self, is_settled: bool) -> bool:
        """Whether an evaluation was interrupted, in any process; if it was here, the run resumes where it began."""
        if not is_settled and self._underway is not None:
            self.abandoned_at = self._underway.step
            self.keeper.save_as_of(self._underway.step, self._underway.snapshot)
            self._underway = None
        return self.world.any(not is_settled)

    def _collect(self) -> bool:
        """Wait for the evaluation underway, if there is one, and log its result; returns whether none is left."""
        if self._underway is None:
            return True
        step, snapshot = self._underway.step, self._underway.snapshot
        values = self._underway.pending.result(self.interrupted)
        if values is None:
            return False
        self._underway = None
        send(self.sinks, step, values)
        self.keeper.keep_if_best(step, values, snapshot)
        return True
