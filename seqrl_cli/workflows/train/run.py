"""``seqrl train``: train a new run, resume one, or report that it is finished."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.run_conflict import refuse_lost_files
from seqrl_cli.artifacts.train_job import TrainingData, count_parameters
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.models.device import choose_device, device_of_rank, use_threads
from seqrl_cli.runs import record as records
from seqrl_cli.runs.heartbeat import SILENT_SECONDS
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import finish_replacement
from seqrl_cli.runs.status import seconds_since
from seqrl_cli.tracking.metrics import last_validation_loss, lowest_validation_loss, read_training_lines
from seqrl_cli.training.agreement import Start, in_turns
from seqrl_cli.training.best import read_best
from seqrl_cli.training.placement import Placement
from seqrl_cli.training.world import ALONE, World
from seqrl_cli.workflows.train.dry_run import dry_run
from seqrl_cli.workflows.train.evaluation import check_evaluations
from seqrl_cli.workflows.train.ranks import check_processes, facts_of, follow, meeting, share_of_memory
from seqrl_cli.workflows.train.resume import (
    check_resumable,
    say_old_penalty,
    warn_of_lost_checkpoints,
    with_own_penalty,
)
from seqrl_cli.workflows.train.setup import TrainRequest, check_before_training, complete_config
from seqrl_cli.workflows.train.training import Training

_NOISE = 0.02  # of a validation loss, as a fraction of it

__all__ = ["TrainReport", "TrainRequest", "check_processes", "dry_run", "run"]


@dataclass(frozen=True)
class TrainReport:
    """Result of ``train``."""

    run: str
    status: str
    updates: int
    fresh: bool
    parameters: int
    loss: float | None
    validation_loss: float | None
    seconds: float
    best_checkpoint: int | None = None
    best_by: str | None = None
    best_value: float | None = None
    lowest_loss_at: int | None = None
    lowest_loss: float | None = None

    def text(self) -> str:
        """Two lines for a person."""
        losses = [("loss", self.loss), ("validation loss", self.validation_loss)]
        parts = [f"{name} {value:.3f}" for name, value in losses if value is not None]
        done = f"{self.updates:,} updates in {self.seconds:,.0f} s: {', '.join(parts)}"
        return "\n".join([done, *self._on_the_best(), self.run])

    def _has_overfitted(self, lowest: float) -> bool:
        """Whether the validation loss has risen by more than its noise."""
        last = self.validation_loss
        return last is not None and last - lowest > _NOISE * abs(lowest)

    def _on_the_best(self) -> list[str]:
        """Whether another checkpoint than the last is better, and how to use it."""
        lines = []
        if self.lowest_loss_at is not None and self.lowest_loss is not None and self._has_overfitted(self.lowest_loss):
            lines.append(
                f"validation loss was lowest at update {self.lowest_loss_at:,} ({self.lowest_loss:.3f}): "
                "the model has overfitted since"
            )
        if self.best_checkpoint is not None and self.best_checkpoint < self.updates:
            by = (self.best_by or "").replace("_", " ")
            lines.append(
                f"best checkpoint, by {by}: update {self.best_checkpoint:,} ({self.best_value:.4g}), which is kept: "
                f"seqrl plan {self.run} --checkpoint best"
            )
        return lines


def run(request: TrainRequest, console: Console) -> TrainReport:
    """Train a new run, resume one, or report that it is finished.

    Raises:
        CommandInterruptedError: Ctrl-C; a checkpoint was saved.
        SeqrlError: the run has other settings or data, is in use, or cannot be written; or other processes that train
            it cannot start, or differ.
    """
    if request.placement is not None:
        return _run_in_ranks(request, request.placement, console)
    device = choose_device(request.device)
    threads = use_threads(request.threads)
    family = family_of(request.config.model.arch)
    data = family.ensure(request.dataset, _asked(request), console)
    request = replace(request, config=complete_config(request.dataset, _asked(request), data))
    return _lead(request, data, device, threads, console)


def _run_in_ranks(request: TrainRequest, placement: Placement, console: Console) -> TrainReport:
    """Train as one of several processes; the first leads."""
    device = device_of_rank(request.device, placement.local_rank, placement.local_size)
    threads = use_threads(request.threads)
    family = family_of(request.config.model.arch)
    with meeting(placement, device) as (ranks, start):
        own = share_of_memory(_asked(request), placement)
        data = in_turns(ranks, lambda: family.ensure(request.dataset, own, console))
        request = replace(request, config=complete_config(request.dataset, _asked(request), data))
        if ranks.leads:
            return _lead(request, data, device, threads, console, ranks, start)
        job = family.prepare(request.config, data, request.dataset.step_limit, device)
        agreed = start.agree(facts_of(request.config, data, job, device))
        updates = follow(job, request.config.train.eval_every, ranks) if agreed else 0
        parameters = count_parameters(job.model)
        return TrainReport(str(request.run.path), "finished", updates, agreed, parameters, None, None, 0.0)


def _asked(request: TrainRequest) -> Config:
    """The requested configuration, with what it leaves open to the run that is there."""
    return request.config if request.force else with_own_penalty(request.run, request.config)


def _lead(
    request: TrainRequest,
    data: TrainingData,
    device: torch.device,
    threads: int,
    console: Console,
    world: World = ALONE,
    start: Start | None = None,
) -> TrainReport:
    """Train in the process that writes the run, alone or with others, who wait for ``start``."""
    folder = request.run
    with locked(folder.path, console):
        finish_replacement(folder)
        if not request.force:
            refuse_lost_files(folder)
        if folder.record.exists() and not request.force:
            say_old_penalty(folder, data, console)
            record, is_longer = check_resumable(folder, request.config, data)
            _warn_of_other_machine(folder, record, console)
            if record.status == "finished" and not is_longer:
                if start:
                    start.call_off()
                warn_of_lost_checkpoints(folder, console)
                console.note(f"{folder.path} is already trained; --force trains it again")
                return _report(folder, record)
        family = family_of(request.config.model.arch)
        job = family.prepare(request.config, data, request.dataset.step_limit, device)
        check_before_training(request, job, console)
        check_evaluations(request.config, job)
        if start:
            start.agree(facts_of(request.config, data, job, device))
        return _report(folder, Training(request, job, device, threads, console, world=world).run(), fresh=True)


def _warn_of_other_machine(folder: RunFolder, record: records.RunRecord, console: Console) -> None:
    """Warn if another machine, whose lock is not seen here, was still training the run a moment ago."""
    if record.status == "running" and record.host != records.host():
        heard = seconds_since(record.heard or record.updated)
        if heard is not None and heard <= SILENT_SECONDS:
            console.warn(f"{folder.path} was running on {record.host} {heard:.0f} s ago; only one machine may write it")


def _report(run: RunFolder, record: records.RunRecord, fresh: bool = False) -> TrainReport:
    lines = read_training_lines(run.metrics)
    last = lines[-1] if lines else None
    best = read_best(run.checkpoints)
    lowest = lowest_validation_loss(run.metrics) or (None, None)
    return TrainReport(
        run=str(run.path),
        status=record.status,
        updates=last.step if last else 0,
        fresh=fresh,
        parameters=record.parameters,
        loss=last.loss if last else None,
        validation_loss=last_validation_loss(lines),
        seconds=last.elapsed if last else 0.0,
        best_checkpoint=best.step if best else None,
        best_by=best.measure if best else None,
        best_value=best.value if best else None,
        lowest_loss_at=lowest[0],
        lowest_loss=lowest[1],
    )
