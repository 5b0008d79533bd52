"""The training loop, from the newest whole checkpoint to the last update, and an estimate of its duration."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import device_of
from seqrl_cli.tracking.metrics import Values
from seqrl_cli.tracking.sinks import Sink, send, started
from seqrl_cli.training.checkpoints import Checkpoint, checkpoint_to_resume, reading_state, settle_best, tidy
from seqrl_cli.training.evaluation import Evaluation
from seqrl_cli.training.keeping import Evaluations, Keeper
from seqrl_cli.training.rng import preserve_rng_state
from seqrl_cli.training.signals import deferred_interrupt
from seqrl_cli.training.token_trainer import TokenTrainer
from seqrl_cli.training.trainer import LoopSettings, Trainer, TrainerFactory
from seqrl_cli.training.world import ALONE, World


@dataclass(frozen=True)
class FitOutcome:
    """How a call of ``fit`` ended.

    Attributes:
        first_step: updates made before this call, 0 for a new run.
        step: updates made in all, as far as they are kept.
        interrupted: whether updates or an evaluation are left to make.
        abandoned: whether a signal ended an evaluation.
    """

    first_step: int
    step: int
    interrupted: bool
    abandoned: bool = False


def fit(
    model: nn.Module,
    train: Sized,
    validation: Sized | None,
    settings: LoopSettings,
    *,
    trainer: TrainerFactory = TokenTrainer,
    checkpoints: Path | None = None,
    sinks: Sequence[Sink] = (),
    on_progress: Callable[[int, int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    evaluation: Evaluation | None = None,
    world: World = ALONE,
) -> FitOutcome:
    """Train ``model`` in place until ``settings.updates``, from the newest checkpoint if there is one.

    On a CPU with the same number of threads, a resumed run ends with the same bits as an uninterrupted one. Ctrl-C
    finishes the update, saves and returns. PyTorch's global generators are left unchanged.

    Args:
        model: the model, on its device, with its initial weights; trained in place.
        train: windows to train on.
        validation: held-out windows, possibly none.
        settings: how to train.
        trainer: ``TokenTrainer`` for token models, ``PolicyTrainer`` for policies, ``TaskTrainer`` for many tasks.
        checkpoints: folder of checkpoints; with None nothing is saved or resumed.
        sinks: receive each log step.
        on_progress: called with (updates made, all updates) after each update.
        on_warning: called for damaged checkpoints, a changed number of threads, and once for a held-out loss that is
            not finite.
        should_stop: called after each update; true saves and returns.
        evaluation: plays the model from time to time, which changes nothing that is learned. A run interrupted
            during one resumes from the step at which it began, and repeats it.
        world: the processes that train together. All of them call this; those that do not lead have no checkpoints and
            no sinks, and an evaluation that does nothing.

    Raises:
        SeqrlError: there is no training window, a loss is not finite, the disk is full, or checkpoints do not fit.
    """
    _require_windows(train)
    with preserve_rng_state(device_of(model)), deferred_interrupt() as interrupted:
        job = trainer(model, train, validation, settings, world)
        first_step = _resume(job, checkpoints, settings.keep_checkpoints, on_warning, world)
        warn_of_held_out = _warner(on_warning)
        with started(sinks, first_step):
            keeper = Keeper(job, checkpoints, settings.keep_checkpoints, evaluation is not None, first_step)
            evaluations = Evaluations(evaluation, model, sinks, keeper, interrupted, world)
            stop = evaluations.resume(first_step)
            while job.step < settings.updates and not stop:
                job.update()
                stop = world.any(interrupted() or (should_stop is not None and should_stop()))
                save = job.step % settings.checkpoint_every == 0 or job.step == settings.updates
                values: Values = {}
                if save or job.step % settings.log_every == 0:
                    values = job.measure(validate=save and world.leads)
                    warn_of_held_out(values)
                    send(sinks, job.step, values)
                stop = _keep(evaluations, keeper, values, save=save, stop=stop)
                if on_progress:
                    on_progress(job.step, settings.updates)
            evaluations.settle()
    last = evaluations.abandoned_at
    left = job.step < settings.updates or (stop and evaluations.is_due(job.step))
    return FitOutcome(first_step, job.step if last is None else last, left or last is not None, last is not None)


def _keep(evaluations: Evaluations, keeper: Keeper, values: Values, *, save: bool, stop: bool) -> bool:
    """Write a checkpoint and evaluate the model after an update, if it is time to; returns whether to stop.

    Args:
        evaluations: the evaluations of the model.
        keeper: writes its checkpoints.
        values: what was measured at this update.
        save: whether a checkpoint is due.
        stop: whether this update is the last of this call.
    """
    step = keeper.job.step
    due = evaluations.is_due(step)
    if not (save or stop or due):
        evaluations.collect_if_ready()
        return False
    if evaluations.settle():
        return True
    if save or stop:
        keeper.save(values)
    return stop or (due and evaluations.begin(step))


def _warner(on_warning: Callable[[str], None] | None) -> Callable[[Values], None]:
    """Returns a function that warns of the first loss on held-out data that is not finite."""
    warned = on_warning is None

    def warn(values: Values) -> None:
        """Look at what was measured at one update."""
        nonlocal warned
        loss = values.get("validation_loss")
        if not warned and on_warning and loss is not None and not math.isfinite(loss):
            on_warning(
                f"the validation loss is {loss}; perhaps held-out values are far outside those of the training data"
            )
            warned = True

    return warn


def _require_windows(train: Sized) -> None:
    """Raise SeqrlError if there is nothing to train on."""
    if not len(train):
        raise SeqrlError("there is no training window", "use a dataset with more episodes")


def _resume(
    job: Trainer, checkpoints: Path | None, keep: int, on_warning: Callable[[str], None] | None, world: World
) -> int:
    """Restore the newest whole checkpoint, if there is one; returns the updates made."""
    found = _shared(checkpoint_to_resume(checkpoints, on_warning) if checkpoints else None, world)
    if found is None:
        return job.step
    with reading_state(checkpoints or Path(), found):
        job.restore(found, on_warning)
    if checkpoints:
        settle_best(checkpoints)
        tidy(checkpoints, found.step, keep)
    return job.step


def _shared(found: Checkpoint | None, world: World) -> Checkpoint | None:
    """The leader's checkpoint, in all processes: others may not reach its files."""
    if world.size == 1:
        return found
    facts = world.from_leader(None if found is None else (found.step, found.state))
    if facts is None:
        return None
    model, optimizer = (world.tensors_from_leader(part) for part in _tensors(found))
    return Checkpoint(facts[0], model, optimizer, facts[1])


def _tensors(found: Checkpoint | None) -> tuple[dict[str, Tensor] | None, dict[str, Tensor] | None]:
    return (None, None) if found is None else (found.model, found.optimizer)


def seconds_per_update(
    model: nn.Module, train: Sized, settings: LoopSettings, updates: int = 3, trainer: TrainerFactory = TokenTrainer
) -> float:
    """Time a few updates of a copy of ``model``, after one that does not count; returns their mean.

    Args:
        model: the model, which stays unchanged.
        train: windows to train on, at least one.
        settings: settings of the planned run.
        updates: updates to time.
        trainer: see ``fit``.
    """
    with preserve_rng_state(device_of(model)):
        job = trainer(copy.deepcopy(model), train, train, settings, ALONE)
        job.update()
        job.read_losses()
        start = time.perf_counter()
        for _ in range(updates):
            job.update()
        job.read_losses()
        return (time.perf_counter() - start) / updates
