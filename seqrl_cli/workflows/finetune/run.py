"""``seqrl finetune``: train a trained model further on one dataset, as a run of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.run_conflict import refuse_lost_files
from seqrl_cli.artifacts.train_job import TrainingData, TrainJob, estimate_seconds
from seqrl_cli.config.presets import dump_config
from seqrl_cli.console import Console, duration, percent
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.models.device import use_threads
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import locked, refuse_locked
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.runs.replace import finish_replacement
from seqrl_cli.tracking.metrics import last_validation_loss, read_training_lines
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.training.learned_part import learned_part
from seqrl_cli.workflows.finetune.setup import FinetuneJob, FinetuneRequest, resolve
from seqrl_cli.workflows.train.evaluation import check_evaluations
from seqrl_cli.workflows.train.resume import check_resumable, warn_of_lost_checkpoints
from seqrl_cli.workflows.train.setup import check_before_training, complete_config
from seqrl_cli.workflows.train.training import Training

__all__ = ["FinetuneReport", "FinetuneRequest", "dry_run", "run"]


@dataclass(frozen=True)
class FinetuneReport:
    """Result of ``finetune``.

    Attributes:
        run: the run's folder.
        parent: the trained run.
        learned: what learned, such as ``lora``.
        status: how it ended.
        updates: updates made in all.
        fresh: whether this command made some.
        trainable: numbers that learn.
        parameters: all numbers of the model.
        loss: training loss of the last log interval; None if nothing was logged.
        validation_loss: the last validation loss; None if nothing was validated.
        seconds: time that all updates took, in seconds.
    """

    run: str
    parent: str
    learned: str
    status: str
    updates: int
    fresh: bool
    trainable: int
    parameters: int
    loss: float | None
    validation_loss: float | None
    seconds: float

    def text(self) -> str:
        """Three lines for a person."""
        losses = [("loss", self.loss), ("validation loss", self.validation_loss)]
        parts = [f"{name} {value:.3f}" for name, value in losses if value is not None]
        share = f"{self.trainable:,} of {self.parameters:,} parameters ({percent(self.trainable / self.parameters, 2)})"
        first = f"{self.updates:,} updates in {self.seconds:,.0f} s: {', '.join(parts)}"
        return f"{first}\n{self.learned}: {share} of {self.parent}\n{self.run}"


def run(request: FinetuneRequest, console: Console) -> FinetuneReport:
    """Fine-tune a trained run, resume that, or report that it is finished.

    Raises:
        CommandInterruptedError: Ctrl-C; a checkpoint was saved.
        SeqrlError: the run, the dataset and the adapter do not fit, or the new run has other settings or data.
    """
    threads = use_threads(request.threads)
    job = resolve(request, console)
    folder = job.train.run
    job.train.dataset.ensure(job.train.config.data, console)
    job, data = _with_data(job)
    with locked(folder.path, console):
        finish_replacement(folder)
        if not request.force:
            refuse_lost_files(folder)
        if folder.record.exists() and not request.force:
            record, is_longer = check_resumable(folder, job.train.config, data)
            if record.status == "finished" and not is_longer:
                warn_of_lost_checkpoints(folder, console)
                console.note(f"{folder.path} is already fine-tuned; --force does it again")
                return _report(job, folder, record)
        training = _training_job(job, data)
        check_before_training(job.train, training, console)
        check_evaluations(job.train.config, training)
        bins = data if isinstance(data, TokenizedDataset) else None
        console.note(f"{job.train.config.finetune.label} learns {job.share} of {job.base.run}")
        record = Training(job.train, training, job.device, threads, console, job.base, bins).run()
        return _report(job, folder, record, fresh=True)


def dry_run(request: FinetuneRequest, console: Console) -> None:
    """Print what ``finetune`` would do, after the same checks.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    use_threads(request.threads)
    job = resolve(request, console)
    train = job.train
    refuse_locked(train.run.path)
    facts: dict[str, Any] = {
        "run": str(train.run.path),
        "already exists": train.run.record.exists(),
        "parent": job.base.run,
        "update of the parent": job.base.step,
        "dataset": train.dataset.target,
        "dataset exists": train.dataset.exists,
        "learns": train.config.finetune.label,
        "trainable": str(job.share),
        "updates": train.config.train.updates,
    }
    if train.dataset.exists:
        job, data = _with_data(job)
        training = _training_job(job, data)
        check_before_training(job.train, training, console)
        done = 0 if request.force else max(saved_steps(train.run.checkpoints), default=0)
        facts |= {"updates": training.settings.updates, "estimated time": duration(estimate_seconds(training, done))}
    console.emit({**facts, "config": job.train.config.model_dump(mode="json")})
    console.show_facts(facts)
    console.show(dump_config(job.train.config).rstrip())


def _with_data(job: FinetuneJob) -> tuple[FinetuneJob, TrainingData]:
    """The data as the model reads them, and the job with the configuration that they complete."""
    train = job.train
    data = family_of(train.config.model.arch).data_like(job.parent, train.dataset, train.config)
    config = complete_config(train.dataset, train.config, data)
    return replace(job, train=replace(train, config=config)), data


def _training_job(job: FinetuneJob, data: TrainingData) -> TrainJob:
    """The training of what learns, whose checkpoints contain nothing else."""
    train = job.train
    family = family_of(train.config.model.arch)
    whole = family.prepare_from(job.parent, train.config, data, train.dataset.step_limit)
    return replace(whole, trainer=learned_part(whole.trainer))


def _report(job: FinetuneJob, run: RunFolder, record: RunRecord, fresh: bool = False) -> FinetuneReport:
    lines = read_training_lines(run.metrics)
    last = lines[-1] if lines else None
    return FinetuneReport(
        run=str(run.path),
        parent=job.base.run,
        learned=job.train.config.finetune.label,
        status=record.status,
        updates=last.step if last else 0,
        fresh=fresh,
        trainable=job.share.trainable,
        parameters=job.share.total,
        loss=last.loss if last else None,
        validation_loss=last_validation_loss(lines),
        seconds=last.elapsed if last else 0.0,
    )
