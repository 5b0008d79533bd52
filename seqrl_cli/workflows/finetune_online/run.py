"""``seqrl finetune-online``: fine-tune a pretrained odt in its environment, as a new run beside its parent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from seqrl_cli.config.model_sections import AttentionSection
from seqrl_cli.config.presets import dump_config, load_config
from seqrl_cli.console import Console, Progress, amount, counted
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.trust import remember
from seqrl_cli.errors import CommandInterruptedError, SeqrlError
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.models.device import use_threads
from seqrl_cli.online.context import FinetuneContext, OnlineSettings
from seqrl_cli.online.loop import FinetuneOutcome, FinetuneProgress, finetune
from seqrl_cli.runs import record as records
from seqrl_cli.runs.heartbeat import beating
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import attached_results, finish_replacement, holds_run, replacing
from seqrl_cli.tracking.metrics import OnlineLine, Values, read_online_lines
from seqrl_cli.tracking.process import followed
from seqrl_cli.tracking.sinks import CallbackSink, JsonlSink, Sink
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.training.rng import preserve_rng_state
from seqrl_cli.workflows.finetune_online.dry_run import dry_run as dry_run
from seqrl_cli.workflows.finetune_online.players import open_players
from seqrl_cli.workflows.finetune_online.progress_text import announce, evaluation_line, live_line
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineJob, FinetuneOnlineRequest, resolve
from seqrl_cli.workflows.finetune_online.setup import (
    iterations_done,
    load_initial_policy,
    make_context,
    move_context,
)


@dataclass(frozen=True)
class FinetuneOnlineReport:
    """Result of ``finetune-online``; scores in percent, None without reference scores."""

    run: str
    parent: str
    status: str
    fresh: bool
    iterations: int
    env_steps: int
    updates: int
    return_before: float | None
    return_after: float | None
    score_before: float | None
    score_after: float | None
    seconds: float

    def text(self) -> str:
        """Three lines for a person."""
        done = f"{counted(self.iterations, 'iteration')}, {counted(self.env_steps, 'environment step')}"
        change = f"return {_figure(self.return_before)} before, {_figure(self.return_after)} after"
        if self.score_after is not None:
            change += f"; score {_figure(self.score_before)} before, {_figure(self.score_after)} after"
        return f"{done} in {self.seconds:,.0f} s\n{change}\n{self.run}"


def _figure(value: float | None) -> str:
    return "–" if value is None else amount(value)


def run(request: FinetuneOnlineRequest, console: Console) -> FinetuneOnlineReport:
    """Fine-tune a new run, resume one, or report that it is finished.

    Raises:
        CommandInterruptedError: Ctrl-C; everything after the first evaluation was saved.
        EnvironmentFailedError: the environment failed; likewise.
        SeqrlError: the run is not an odt, has other settings, is in use, or cannot be written.
    """
    threads = use_threads(request.threads)
    job = resolve(request, console.warn)
    with locked(job.run.path, console) as waited:
        if finish_replacement(job.run) or waited:
            job = resolve(request, console.warn)
        done = iterations_done(job.run) if job.resumes else 0
        if job.resumes and _has_enough(job, done):
            console.note(_already_done(job, done))
            return _report(job, job.record, fresh=False)
        trained = load_initial_policy(job, console)
        with preserve_rng_state(job.device), open_players(request, job, trained, console) as players:
            remember(job.env_id)
            context = make_context(request.store, job, trained, players, console)
            announce(job, context, console)
            replaces = request.force and holds_run(job.run)
            started = _replace(job, request, threads, context, console) if replaces else None
            record = _write_start(job.run, job, request, threads)
            with followed(job.run.path, request.store.root, request.track, console):
                return _finetune(job, context, record, console, started, force=request.force)


def _has_enough(job: FinetuneOnlineJob, done: int) -> bool:
    """Whether nothing is left to do; a run killed before its last checkpoint is not finished."""
    requested = job.config.online.iterations
    return done >= requested and (job.record.status == "finished" or requested < _planned_iterations(job))


def _planned_iterations(job: FinetuneOnlineJob) -> int:
    """Iterations in the existing run's own configuration."""
    return load_config(job.run.config).online.iterations


def _already_done(job: FinetuneOnlineJob, done: int) -> str:
    if job.record.status == "finished":
        return f"{job.run.path} already has {counted(done, 'iteration')}; --iterations adds more, --force starts over"
    planned = counted(_planned_iterations(job), "iteration")
    return f"{job.run.path} already has {done:,} of its {planned}; without --iterations it resumes"


_INHERITED = ("datasets", "arch", "seed", "parameters", "tokens_fingerprint", "return_range")


def _replace(
    job: FinetuneOnlineJob, request: FinetuneOnlineRequest, threads: int, context: FinetuneContext, console: Console
) -> FinetuneOutcome:
    """Evaluate and save beside the existing run, and only then replace it.

    Returns:
        How far the new run has come; ``interrupted`` is true only where Ctrl-C stopped it, not the checkpoint.

    Raises:
        CommandInterruptedError: Ctrl-C before there was a checkpoint; the existing run was kept.
        EnvironmentFailedError: the environment failed; likewise.
        SeqrlError: the new run failed; likewise.
    """
    path = job.run.path
    if removed := attached_results(job.run):
        console.note(f"{path} is replaced at the first checkpoint, and its {removed} are removed with it")
    reached = False

    def at_first_checkpoint() -> bool:
        nonlocal reached
        reached = bool(saved_steps(new.checkpoints))  # not asked once there was Ctrl-C
        return reached

    try:
        with replacing(job.run) as new, console.progress(f"fine-tuning {path.name}", "updates") as update:
            _write_start(new, job, request, threads)
            outcome = _loop(new, job, move_context(context, job, new), console, update, at_first_checkpoint)
            if not saved_steps(new.checkpoints):
                raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        message = f"interrupted before the first checkpoint; {path} was kept"
        raise CommandInterruptedError(message, "the same command starts over") from error
    except EnvironmentFailedError as error:
        hint = f"{path} was kept; once that is fixed, the same command starts over; {error.hint}"
        raise EnvironmentFailedError(error.message, hint) from error
    return replace(outcome, interrupted=outcome.interrupted and not reached)


def _write_start(
    run: RunFolder, job: FinetuneOnlineJob, request: FinetuneOnlineRequest, threads: int
) -> records.RunRecord:
    """Write the record and the configuration of a run that starts or resumes."""
    kept = {"created": job.record.created} if job.resumes else {}
    record = records.new_record(
        **{key: getattr(job.record, key) for key in _INHERITED},
        env_id=job.env_id,
        name=job.run.path.name,
        parent=job.parent.path.name,
        online_seed=job.seed,
        status="running",
        argv=list(request.argv),
        device=str(job.device),
        threads=threads,
        **kept,
    )
    record = records.write_record(run.record, record)
    write_text_atomic(run.config, dump_config(job.config))
    return record


def _finetune(
    job: FinetuneOnlineJob,
    context: FinetuneContext,
    record: records.RunRecord,
    console: Console,
    started: FinetuneOutcome | None,
    *,
    force: bool,
) -> FinetuneOnlineReport:
    """Run the loop, or its rest where it has started, and write down how it ended."""
    status: records.Status = "failed"
    try:
        if started is not None and started.interrupted:
            outcome = started
        else:
            beat = partial(records.write_heartbeat, job.run.record, record)
            with beating(beat), console.progress(f"fine-tuning {job.run.path.name}", "updates") as update:
                outcome = _loop(job.run, job, context, console, update)
        status = "interrupted" if outcome.interrupted else "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except EnvironmentFailedError as error:
        does = f"{_same_command(force)} resumes" if saved_steps(job.run.checkpoints) else _STARTS_OVER
        raise EnvironmentFailedError(error.message, f"once that is fixed, {does}; {error.hint}") from error
    finally:
        record = records.write_record(job.run.record, record.model_copy(update={"status": status}))
    if outcome.interrupted:
        raise _interrupted(job, outcome, force=force)
    return _report(job, record, fresh=True)


_STARTS_OVER = "the same command starts over; nothing was saved"


def _same_command(force: bool) -> str:
    """The command that resumes."""
    return "the same command without --force" if force else "the same command"


def _interrupted(job: FinetuneOnlineJob, outcome: FinetuneOutcome, *, force: bool) -> CommandInterruptedError:
    if not saved_steps(job.run.checkpoints):
        message = "interrupted in the evaluation before fine-tuning; there was nothing to save yet"
        return CommandInterruptedError(message, "the same command starts over")
    iteration = f"iteration {outcome.iteration + 1:,} of {job.config.online.iterations:,}"
    return CommandInterruptedError(
        f"interrupted in {iteration}; everything was saved",
        f"{_same_command(force)} resumes from there",
    )


def _loop(
    run: RunFolder,
    job: FinetuneOnlineJob,
    context: FinetuneContext,
    console: Console,
    update: Progress,
    should_stop: Callable[[], bool] | None = None,
) -> FinetuneOutcome:
    online = job.config.online
    section = job.config.model
    assert isinstance(section, AttentionSection)
    settings = OnlineSettings(
        iterations=online.iterations,
        seed=job.seed,
        episodes=online.envs,
        updates=online.updates,
        batch_size=job.config.train.batch_size,
        context=section.sequence_length,
        evaluate_every=online.eval_every,
        checkpoint_every=online.checkpoint_every,
        keep_checkpoints=job.config.train.keep_checkpoints,
    )
    latest = ""

    def on_progress(done: FinetuneProgress) -> None:
        update(done.iteration * online.updates + done.updated, online.iterations * online.updates, latest)

    def on_log(step: int, values: Values) -> None:
        nonlocal latest
        line = OnlineLine(step, values)
        latest = live_line(line)
        if line.get("evaluation_return") is not None:
            console.note(evaluation_line(line))

    sinks: list[Sink] = [JsonlSink(run.metrics), CallbackSink(on_log)]
    return finetune(
        context,
        settings,
        sinks=sinks,
        on_progress=on_progress,
        on_warning=console.warn,
        should_stop=should_stop,
    )


def _report(job: FinetuneOnlineJob, record: records.RunRecord, *, fresh: bool) -> FinetuneOnlineReport:
    lines = read_online_lines(job.run.metrics)
    evaluated = [line for line in lines if line.get("evaluation_return") is not None]
    if not evaluated:
        raise SeqrlError(f"{job.run.metrics} contains no evaluation", "start over with --force")
    first, last = evaluated[0], evaluated[-1]
    return FinetuneOnlineReport(
        run=str(job.run.path),
        parent=str(job.parent.path),
        status=record.status,
        fresh=fresh,
        iterations=lines[-1].iteration,
        env_steps=lines[-1].env_steps,
        updates=lines[-1].step - first.step,
        return_before=first.get("evaluation_return"),
        return_after=last.get("evaluation_return"),
        score_before=first.get("evaluation_score"),
        score_after=last.get("evaluation_score"),
        seconds=lines[-1].elapsed,
    )
