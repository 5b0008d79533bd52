"""From a dataset to a trained model: a new run, one that goes on, or one that is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.policy_data import PolicyData
from seqrl_cli.artifacts.token_model import choose_device, use_threads
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, Progress, duration
from seqrl_cli.errors import CommandInterruptedError, SeqrlError
from seqrl_cli.models.decision.build import Policy
from seqrl_cli.models.decision.decoder import check_context
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.planning.settings import plan_settings
from seqrl_cli.runs import record as records
from seqrl_cli.runs.atomic import write_text_atomic
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import finish_replacement, goes_with, holds_run, replacing
from seqrl_cli.tracking.metrics import TrainingLine, Values, read_training_lines
from seqrl_cli.tracking.sinks import CallbackSink, JsonlSink
from seqrl_cli.training.checkpoints import saved_steps
from seqrl_cli.training.loop import FitOutcome, fit
from seqrl_cli.workflows.train.resume import check_same
from seqrl_cli.workflows.train.setup import (
    TrainJob,
    count_parameters,
    ensure_data,
    estimate_seconds,
    parameters_text,
    pinned,
    prepare,
)


@dataclass(frozen=True)
class TrainRequest:
    """What ``seqrl train`` was asked for.

    Attributes:
        located: the dataset.
        config: the resolved configuration.
        name: name of the run; None = ``<arch>-s<seed>``.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        argv: the command line, for the record.
    """

    located: DatasetRef
    config: Config
    name: str | None = None
    device: str = "auto"
    threads: int | None = None
    argv: Sequence[str] = ()

    @property
    def run(self) -> RunFolder:
        """The run's folder."""
        name = self.name or f"{self.config.model.arch}-s{self.config.seed}"
        return self.located.folder.run(check_name("run", name))


@dataclass(frozen=True)
class TrainReport:
    """What ``train`` says at the end."""

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

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def train_model(request: TrainRequest, console: Console, *, force: bool = False) -> TrainReport:
    """Train, continue, or find that it is done.

    Raises:
        CommandInterruptedError: Ctrl-C; a checkpoint was saved.
        SeqrlError: the run belongs to other settings or data, is in use, or cannot be written.
    """
    device, threads = choose_device(request.device), use_threads(request.threads)
    run = request.run
    data = ensure_data(request.located, request.config, console)
    request = replace(request, config=pinned(request.located, request.config, data))
    with locked(run.path):
        finish_replacement(run)
        if run.record.exists() and not force:
            record, differs = check_same(run, request.config, data)
            if record.status == "finished" and not differs:
                console.note(f"{run.path} is already trained; --force trains it again")
                return _report(run, record)
        job = prepare(request.config, data, request.located.step_limit, device)
        warn_early(request, job, console)
        _announce(run, [] if force else saved_steps(run.checkpoints), job, device, console)
        begun = _replace(run, request, job, device, threads, console) if force and holds_run(run) else None
        record = _write_start(run, request, job, device, threads)
        return _fit(run, record, job, console, begun, force=force)


def warn_early(request: TrainRequest, job: TrainJob, console: Console) -> None:
    """Say before the training what would be found out after it: nothing to validate on, or a plan that is refused."""
    config, model = request.config, job.model
    if request.located.env_id is None:
        name = request.located.id
        tell = f"seqrl download {name} data.env_id=ID says which one"
        console.warn(f"{name} does not say which environment it is from, so `seqrl plan` has nowhere to play; {tell}")
    if not job.validation:
        console.warn(f"{config.dataset} has one episode, so none is held out: there is no validation loss")
    try:
        if isinstance(model, GPT | RetNet):
            plan_settings(config.plan).check_fits(model.block_size, model.transition_dim)
        elif isinstance(model, Policy):
            check_context(model, config.plan.max_context_transitions)
    except SeqrlError as error:
        console.warn(f"`seqrl plan` will refuse this configuration: {error.message}")


def _replace(
    run: RunFolder, request: TrainRequest, job: TrainJob, device: torch.device, threads: int, console: Console
) -> FitOutcome:
    """Train up to the first checkpoint beside the run that is there, and only then take its place.

    Returns:
        How far the new run has come; ``interrupted`` is true only where Ctrl-C stopped it, not the checkpoint.

    Raises:
        CommandInterruptedError: Ctrl-C before there was a checkpoint; the run that was there is as it was.
        SeqrlError: the new run failed; likewise.
    """
    if removed := goes_with(run):
        console.note(f"{run.path} is replaced at the first checkpoint, and its {removed} are removed with it")
    first = min(job.settings.checkpoint_every, job.settings.updates)
    made = 0

    def at_first_checkpoint() -> bool:
        nonlocal made
        made += 1  # not counted in the update that Ctrl-C stops, where nobody asks
        return made == first

    try:
        with replacing(run) as new, console.progress(f"training {run.path.name}", "updates") as update:
            _write_start(new, request, job, device, threads)
            outcome = _loop(new, job, console, update, at_first_checkpoint)
    except KeyboardInterrupt as error:
        message = f"interrupted before the first checkpoint; {run.path} is as it was"
        raise CommandInterruptedError(message, "the same command starts over") from error
    return replace(outcome, interrupted=made < first)


def _write_start(
    run: RunFolder, request: TrainRequest, job: TrainJob, device: torch.device, threads: int
) -> records.RunRecord:
    """Write the record and the configuration of a run that starts or resumes."""
    going_on = {"created": records.read_record(run.record).created} if run.record.exists() else {}
    record = records.new_record(
        datasets=request.located.datasets,
        env_id=job.data.env_id,
        arch=request.config.model.arch,
        name=request.run.path.name,
        seed=request.config.seed,
        status="running",
        argv=list(request.argv),
        device=str(device),
        threads=threads,
        parameters=count_parameters(job.model),
        tokens_fingerprint=job.data.fingerprint,
        return_range=job.data.return_range if isinstance(job.data, PolicyData) else None,
        **going_on,
    )
    record = records.write_record(run.record, record)
    write_text_atomic(run.config, dump_config(request.config))
    return record


def _announce(run: RunFolder, steps: list[int], job: TrainJob, device: torch.device, console: Console) -> None:
    if console.quiet:
        return
    if steps:
        console.note(f"{run.path}: going on from update {steps[-1]:,} of {job.settings.updates:,}")
        return
    size = f"{parameters_text(job.model)}, {job.settings.updates:,} updates on {device}"
    console.note(f"{run.path}: {size}, about {duration(estimate_seconds(job))}")


def _fit(
    run: RunFolder,
    record: records.RunRecord,
    job: TrainJob,
    console: Console,
    begun: FitOutcome | None,
    *,
    force: bool,
) -> TrainReport:
    """Run the loop, or its rest where it has begun, and write down how it ended."""
    status: records.Status = "failed"
    try:
        if begun is not None and begun.interrupted:
            outcome = begun
        else:
            with console.progress(f"training {run.path.name}", "updates") as update:
                outcome = _loop(run, job, console, update)
        status = "interrupted" if outcome.interrupted else "finished"
    except KeyboardInterrupt as error:
        status = "interrupted"
        raise _interrupted(run, force=force) from error
    finally:
        record = records.write_record(run.record, record.model_copy(update={"status": status}))
    if outcome.interrupted:
        message = f"interrupted at update {outcome.step:,} of {job.settings.updates:,}; a checkpoint was saved"
        raise CommandInterruptedError(message, _carries_on(force=force))
    return _report(run, record, fresh=True)


def _carries_on(*, force: bool) -> str:
    without = " without --force" if force else ""
    return f"the same command{without} carries on from there"


def _interrupted(run: RunFolder, *, force: bool) -> CommandInterruptedError:
    """What to say of a run that was stopped at once: before its loop, or by a second Ctrl-C in it."""
    steps = saved_steps(run.checkpoints)
    if not steps:
        return CommandInterruptedError(
            f"interrupted before the first checkpoint of {run.path}", "the same command begins anew"
        )
    kept = f"interrupted; {run.path} has its checkpoint of update {steps[-1]:,}"
    return CommandInterruptedError(kept, _carries_on(force=force))


def _loop(
    run: RunFolder,
    job: TrainJob,
    console: Console,
    update: Progress,
    should_stop: Callable[[], bool] | None = None,
) -> FitOutcome:
    loss = ""

    def on_log(step: int, values: Values) -> None:
        nonlocal loss
        loss = f"loss {TrainingLine(step, values).loss:.3f}"

    return fit(
        job.model,
        job.train,
        job.validation,
        job.settings,
        trainer=job.trainer,
        checkpoints=run.checkpoints,
        sinks=[JsonlSink(run.metrics), CallbackSink(on_log)],
        on_progress=lambda done, total: update(done, total, loss),
        on_warning=console.warn,
        should_stop=should_stop,
    )


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
