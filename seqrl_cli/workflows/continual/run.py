"""``seqrl continual``: learn and evaluate one task after the other; each part that exists is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from seqrl_cli.artifacts.task_loading import load_tasks
from seqrl_cli.console import Console, counted
from seqrl_cli.continual.learned import learned_tensors
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.memory import memory_of
from seqrl_cli.continual.play import open_tasks
from seqrl_cli.continual.run_files import (
    ContinualFolder,
    ContinualRecord,
    StageFolder,
    write_heartbeat,
    write_record,
)
from seqrl_cli.continual.stage import Arena, during_stage, evaluate_stage, learn_stage, restore_stage
from seqrl_cli.continual.tensor_file import write_tensors
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.errors import CommandInterruptedError, SeqrlError
from seqrl_cli.files.atomic import make_folder
from seqrl_cli.models.adapters.selection import NONE
from seqrl_cli.models.device import use_threads
from seqrl_cli.runs.heartbeat import beating
from seqrl_cli.runs.lock import locked, refuse_locked
from seqrl_cli.runs.record import Status
from seqrl_cli.runs.replace import finish_replacement, holds_run, replacing
from seqrl_cli.tracking.process import followed
from seqrl_cli.workflows.continual.report import ContinualReport, make_report
from seqrl_cli.workflows.continual.setup import ContinualJob, ContinualRequest, find_base, missing_data, resolve

__all__ = ["ContinualReport", "ContinualRequest", "dry_run", "run"]


def run(request: ContinualRequest, console: Console) -> ContinualReport:
    """Learn the suite's tasks in order, and play all of them after each.

    Args:
        request: what to do.
        console: shows progress.

    Raises:
        CommandInterruptedError: Ctrl-C; the same command resumes.
        SeqrlError: the run, the suite and the method do not fit, or a stage is damaged.
    """
    threads = use_threads(request.threads)
    job = resolve(request, console)
    with locked(job.folder.path, console) as waited:
        if finish_replacement(job.folder) or waited:
            job = resolve(request, console)
        replaced = request.force and holds_run(job.folder)
        if replaced:
            _replace(job, threads, console)
            job = resolve(replace(request, force=False), console)
        _warn_of_threads(job, threads, console)
        stages = job.folder.stages(job.record)
        _check_order(stages)
        fresh = sum(not stage.evaluation.exists() for stage in stages)
        if not fresh:
            console.note(f"{job.folder.path} is finished; --force starts over")
            return make_report(job.folder, _settled(job, stages), 0)
        tracking = followed(job.folder.path, request.store.root, request.track, console)
        record = _learn_all(job, stages, threads, console, tracking)
        return make_report(job.folder, record, fresh + replaced)


def dry_run(request: ContinualRequest, console: Console) -> None:
    """Print what ``continual`` would do; writes nothing.

    Raises:
        SeqrlError: as :func:`run` before it learns.
    """
    facts: dict[str, object]
    if missing := missing_data(request):
        base = find_base(request, console).folder.path
        facts = {"base": request.store.name_of(base), "suite": request.suite, "made first": ", ".join(missing)}
        facts["all else"] = "known once the data are here"
        console.emit(facts)
        console.show_facts(facts)
        return
    use_threads(request.threads)
    job = resolve(request, console)
    refuse_locked(job.folder.path)
    learner = job.learner()
    learner.begin(0)
    stages = job.folder.stages(job.record)
    facts = {
        "base": job.record.base,
        "suite": job.record.suite,
        "tasks": ", ".join(task.dataset for task in job.record.tasks),
        "method": f"{job.method.name}: {job.method.summary}",
        "to": str(job.folder.path),
        "stages done": sum(stage.evaluation.exists() for stage in stages),
        "parameters": job.record.parameters,
        "learning per task": learner.trainable,
        "memory without the data": memory_of(learner, job.record.base_tasks).text,
        **{f"continual.{key}": value for key, value in job.settings.model_dump().items()},
    }
    console.emit(facts)
    console.show_facts(facts)


def _replace(job: ContinualJob, threads: int, console: Console) -> None:
    """Write a new run's first stage beside the old run, and only then replace it.

    Raises:
        CommandInterruptedError: Ctrl-C; the old run is unchanged.
    """
    path = job.folder.path
    console.note(f"{path} is replaced as soon as the new run has played its tasks before learning")
    try:
        with replacing(job.folder) as new:
            _learn_all(replace(job, folder=new), new.stages(job.record)[:1], threads, console, nullcontext())
    except CommandInterruptedError as error:
        message = f"interrupted before the new run had played its tasks; {path} was kept"
        raise CommandInterruptedError(message, "the same command starts over") from error


def _learn_all(
    job: ContinualJob,
    stages: list[StageFolder],
    threads: int,
    console: Console,
    tracking: AbstractContextManager[None],
) -> ContinualRecord:
    """Learn and evaluate all stages; returns the record of the finished run.

    Args:
        job: the run.
        stages: the stages to learn.
        threads: CPU threads.
        console: shows progress.
        tracking: the context that is entered once run.json exists, and left once it has the final status.
    """
    learner = job.learner()
    learner.begin(0)
    facts = {"trainable": learner.trainable, "device": str(job.device), "threads": threads}
    record = write_record(job.folder, job.record.model_copy(update={**facts, "status": "running"}))
    console.note(f"{job.folder.path}: {memory_of(learner, record.base_tasks).text}, without the data")
    whole = len(stages) == len(job.folder.stages(record))
    with tracking, _recording(job.folder, record, whole=whole), _arena(job) as arena:
        for number, stage in enumerate(stages):
            make_folder(stage.path)
            _learn(job, learner, stage, number, arena, console)
            if not stage.evaluation.exists():
                _evaluate(learner, stage, arena, console)
            shutil.rmtree(stage.checkpoints, ignore_errors=True)
    return record


def _learn(
    job: ContinualJob, learner: Learner, stage: StageFolder, number: int, arena: Arena, console: Console
) -> None:
    """Learn a stage's task, or restore the learner to its state after the stage."""
    data = job.data if job.method.joint else job.data[number - 1 : number]
    if stage.learned.exists():
        known = data if number else _pretraining_data(job) if job.method.replays else ()
        restore_stage(learner, stage, number - 1, known)
        return
    if number == 0:
        _protect_pretraining(job, learner, console)
        write_tensors(stage.learned, learned_tensors(learner))
        return
    console.note(f"{stage.path.name}: {counted(learner.settings.updates, 'update')} of {job.method.name}")
    with console.progress(f"learning {stage.path.name}", "updates") as update:
        curve = during_stage(learner, stage, arena, number - 1)
        outcome = learn_stage(
            learner, stage, number - 1, data, on_progress=update, on_warning=console.warn, evaluation=curve
        )
    if outcome.interrupted:
        done = f"update {outcome.step:,} of {stage.path.name}"
        raise CommandInterruptedError(f"interrupted at {done}; a checkpoint was saved", "the same command resumes")


def _evaluate(learner: Learner, stage: StageFolder, arena: Arena, console: Console) -> None:
    """Play all tasks after a stage."""
    total = sum(map(len, (*arena.vectors, *arena.pretraining_vectors)))
    with console.progress(f"playing after {stage.path.name}", "episodes") as update:
        evaluate_stage(learner, stage, arena, lambda _, finished: update(finished, total))


def _protect_pretraining(job: ContinualJob, learner: Learner, console: Console) -> None:
    """Measure what protects and recognizes the tasks of the pretraining, if their data are here."""
    if not (learner.infers or job.method.penalty or job.method.replays):
        return
    if job.base_data is None:
        console.warn(f"the data of {job.record.base} are not in the run directory, so its own tasks are not protected")
        return
    learner.model.eval()
    for task in _pretraining_data(job):
        learner.protect_pretraining(task, NONE)


def _pretraining_data(job: ContinualJob) -> Sequence[TaskData]:
    """The data of the pretraining's tasks; none if they are not in the run directory."""
    return () if job.base_data is None else load_tasks(job.base_data, job.base.config.tasks).tasks


@contextmanager
def _arena(job: ContinualJob) -> Iterator[Arena]:
    """All environments of the run."""
    own = {task.dataset for task in job.record.tasks}
    others = [task for task in job.record.base_tasks if task.dataset not in own]
    if not job.settings.retention_episodes:
        others = []
    with (
        open_tasks(job.record.tasks, job.settings.episodes, job.settings.max_steps) as vectors,
        open_tasks(others, max(1, job.settings.retention_episodes), job.settings.max_steps) as pretraining,
    ):
        yield Arena(job.record.tasks, vectors, others, pretraining)


@contextmanager
def _recording(folder: ContinualFolder, record: ContinualRecord, *, whole: bool) -> Iterator[None]:
    """Record how the run ended; after only a part of the stages (``whole=False``) the status stays ``running``.

    Raises:
        CommandInterruptedError: Ctrl-C in the block.
    """
    status: Status = "failed"
    try:
        with beating(lambda time: write_heartbeat(folder, record, time)):
            yield
        status = "finished" if whole else "running"
    except KeyboardInterrupt as error:
        status = "interrupted"
        raise CommandInterruptedError("interrupted; finished stages are kept", "the same command resumes") from error
    except CommandInterruptedError:
        status = "interrupted"
        raise
    finally:
        write_record(folder, record.model_copy(update={"status": status}))


def _settled(job: ContinualJob, stages: list[StageFolder]) -> ContinualRecord:
    """The record of a run whose stages are all there, also if it was killed before it could write that."""
    if job.record.status == "finished":
        return job.record
    for stage in stages:
        shutil.rmtree(stage.checkpoints, ignore_errors=True)
    return write_record(job.folder, job.record.model_copy(update={"status": "finished"}))


def _warn_of_threads(job: ContinualJob, threads: int, console: Console) -> None:
    before = job.record.threads
    if before and before != threads:
        console.warn(f"{job.folder.path} was begun with {counted(before, 'thread')}: its last bits will differ")


def _check_order(stages: list[StageFolder]) -> None:
    """Stop at a stage that is missing although a later one exists.

    Raises:
        SeqrlError: there is one.
    """
    there = [stage.learned.exists() for stage in stages]
    if False in there and True in there[there.index(False) :]:
        missing = stages[there.index(False)]
        message = f"{missing.path} is missing or unfinished, but later stages were learned from it"
        raise SeqrlError(message, "copy it back, or start over with --force")
