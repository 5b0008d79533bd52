"""The training loop: from the newest whole checkpoint to the last update, the same weights however often it is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import device_of
from seqrl_cli.training.checkpoints import Checkpoint, newest_checkpoint, reading_state, write_checkpoint
from seqrl_cli.training.rng import own_generators
from seqrl_cli.training.signals import deferred_interrupt
from seqrl_cli.training.trainer import Trainer


class Pace(Protocol):
    """The settings that the loop itself follows."""

    @property
    def updates(self) -> int:
        """Of the whole run, those before a resume included."""

    @property
    def log_every(self) -> int:
        """Updates between log steps."""

    @property
    def checkpoint_every(self) -> int:
        """Updates between checkpoints, each with a validation before it."""

    @property
    def keep_checkpoints(self) -> int:
        """Newest checkpoints kept."""


class Training(Protocol):
    """What the loop trains: tokens or a policy, it is all the same to it."""

    @property
    def step(self) -> int:
        """Updates made."""

    def update(self) -> None:
        """One step of the optimizer on the next batch."""

    def read_losses(self) -> None:
        """Wait for the updates made so far; raises SeqrlError when a loss is not finite."""

    @property
    def trainable_parameters(self) -> Mapping[str, nn.Parameter]:
        """The model's parameters that learn, by name; all others stay as they are."""

    def measure(self, *, validate: bool) -> dict[str, float | None]:
        """The numbers of the log step at this update, by name; None where one was not taken."""

    def checkpoint(self) -> Checkpoint:
        """All that ``restore`` needs; raises SeqrlError when a loss was not finite."""

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Go on from a checkpoint; raises SeqrlError when it is of something else."""


MakeTraining = Callable[[Any, Any, Any, Any], Training]
"""A trainer's class: it is given the model, the training windows, the held-out ones and the settings."""


class LogSink(Protocol):
    """What receives the log steps."""

    def start(self, resume_step: int) -> None:
        """Forget what was logged after ``resume_step``, since those steps come again."""

    def log(self, step: int, values: Mapping[str, float | None]) -> None:
        """Take a log step: updates made so far, and numbers by name."""

    def close(self) -> None:
        """No log step follows."""


@dataclass(frozen=True)
class FitOutcome:
    """How a call of ``fit`` ended.

    Args:
        first_step: updates made before this call, 0 for a new run.
        step: updates made in all.
        interrupted: whether it was stopped before the last update.
    """

    first_step: int
    step: int
    interrupted: bool


def fit(
    model: nn.Module,
    train: Sized,
    validation: Sized | None,
    settings: Pace,
    *,
    trainer: MakeTraining = Trainer,
    checkpoints: Path | None = None,
    sinks: Sequence[LogSink] = (),
    on_progress: Callable[[int, int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FitOutcome:
    """Train ``model`` in place until ``settings.updates``, from the newest checkpoint if there is one.

    On a CPU with the same number of threads a run that was cut anywhere and resumed ends with the same bits as one
    that was not. Ctrl-C finishes the update, saves and returns. PyTorch's global generators, which dropout draws
    from, are seeded inside and given back as they were.

    Args:
        model: on its device, with its initial weights; overwritten when a checkpoint is found.
        train: windows to train on.
        validation: held-out windows, possibly none.
        settings: how to train.
        trainer: what makes the updates, ``Trainer`` for tokens and ``PolicyTrainer`` for policies.
        checkpoints: folder of checkpoints; None saves nothing and starts anew.
        sinks: sent each log step.
        on_progress: told (updates made, updates) after each update.
        on_warning: told of damaged checkpoints and of a changed number of threads.
        should_stop: asked after each update; true saves and returns.

    Raises:
        SeqrlError: there is no training window, the loss is not finite, the disk is full, or the checkpoints fit
            other data.
    """
    if not len(train):
        raise SeqrlError("there is no training window", "use a dataset with more episodes")
    with own_generators(device_of(model)), deferred_interrupt() as interrupted:
        training = trainer(model, train, validation, settings)
        first_step = _resume(training, checkpoints, on_warning)
        with started(sinks, first_step):
            stop = False
            while training.step < settings.updates and not stop:
                training.update()
                stop = interrupted() or (should_stop is not None and should_stop())
                save = training.step % settings.checkpoint_every == 0 or training.step == settings.updates
                if save or training.step % settings.log_every == 0:
                    send(sinks, training.step, training.measure(validate=save))
                if checkpoints and (save or stop):
                    write_checkpoint(checkpoints, training.checkpoint(), settings.keep_checkpoints)
                if on_progress:
                    on_progress(training.step, settings.updates)
    return FitOutcome(first_step, training.step, training.step < settings.updates)


def _resume(training: Training, checkpoints: Path | None, on_warning: Callable[[str], None] | None) -> int:
    """Go on from the newest whole checkpoint, if there is one; the updates made."""
    if checkpoints and (found := newest_checkpoint(checkpoints, on_warning)):
        with reading_state(checkpoints, found):
            training.restore(found, on_warning)
    return training.step


@contextmanager
def started(sinks: Sequence[LogSink], resume_step: int) -> Iterator[None]:
    """Sinks that take log steps after ``resume_step`` inside the block, and are closed at its end."""
    with ExitStack() as stack:
        for sink in sinks:
            sink.start(resume_step)
            stack.callback(sink.close)
        yield


def send(sinks: Sequence[LogSink], step: int, values: Mapping[str, float | None]) -> None:
    """Send a log step to every sink, in their order."""
    for sink in sinks:
        sink.log(step, values)
