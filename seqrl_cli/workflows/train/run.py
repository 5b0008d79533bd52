"""``seqrl train``: train a new run, resume one, or report that it is finished."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seqrl_cli.artifacts.families import family_of
from seqrl_cli.console import Console
from seqrl_cli.models.device import choose_device, use_threads
from seqrl_cli.runs import record as records
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import finish_replacement
from seqrl_cli.tracking.metrics import read_training_lines
from seqrl_cli.workflows.train.dry_run import dry_run
from seqrl_cli.workflows.train.evaluation import check_evaluations
from seqrl_cli.workflows.train.resume import check_resumable, say_old_penalty, with_own_penalty
from seqrl_cli.workflows.train.setup import TrainRequest, complete_config, warn_before_training
from seqrl_cli.workflows.train.training import Training

__all__ = ["TrainReport", "TrainRequest", "dry_run", "run"]


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

    def text(self) -> str:
        """Two lines for a person."""
        losses = [("loss", self.loss), ("validation loss", self.validation_loss)]
        parts = [f"{name} {value:.3f}" for name, value in losses if value is not None]
        return f"{self.updates:,} updates in {self.seconds:,.0f} s: {', '.join(parts)}\n{self.run}"


def run(request: TrainRequest, console: Console) -> TrainReport:
    """Train a new run, resume one, or report that it is finished.

    Raises:
        CommandInterruptedError: Ctrl-C; a checkpoint was saved.
        SeqrlError: the run has other settings or data, is in use, or cannot be written.
    """
    device = choose_device(request.device)
    threads = use_threads(request.threads)
    folder = request.run
    family = family_of(request.config.model.arch)
    config = request.config if request.force else with_own_penalty(folder, request.config)
    data = family.ensure(request.dataset, config, console)
    request = replace(request, config=complete_config(request.dataset, config, data))
    with locked(folder.path, console):
        finish_replacement(folder)
        if folder.record.exists() and not request.force:
            say_old_penalty(folder, data, console)
            record, is_longer = check_resumable(folder, request.config, data)
            if record.status == "finished" and not is_longer:
                console.note(f"{folder.path} is already trained; --force trains it again")
                return _report(folder, record)
        job = family.prepare(request.config, data, request.dataset.step_limit, device)
        warn_before_training(request, job, console)
        check_evaluations(request.config, job)
        return _report(folder, Training(request, job, device, threads, console).run(), fresh=True)


def _report(run: RunFolder, record: records.RunRecord, fresh: bool = False) -> TrainReport:
    lines = read_training_lines(run.metrics)
    validated = [loss for line in lines if (loss := line.get("validation_loss")) is not None]
    last = lines[-1] if lines else None
    return TrainReport(
        run=str(run.path),
        status=record.status,
        updates=last.step if last else 0,
        fresh=fresh,
        parameters=record.parameters,
        loss=last.loss if last else None,
        validation_loss=validated[-1] if validated else None,
        seconds=last.elapsed if last else 0.0,
    )
