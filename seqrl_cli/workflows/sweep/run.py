"""``seqrl sweep``: make the data once, then run every member that is not finished."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqrl_cli.console import Console, typed_command
from seqrl_cli.errors import SeqrlError, when_interrupted
from seqrl_cli.launch.batch import failures_text, run_tasks
from seqrl_cli.launch.job_arrays import JobArray, require_scheduler, submit, write_script
from seqrl_cli.launch.launcher import Launcher
from seqrl_cli.launch.local import LocalLauncher
from seqrl_cli.launch.ray_cluster import RayLauncher
from seqrl_cli.launch.slurm_jobs import SlurmLauncher
from seqrl_cli.launch.task import Task, run_task
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.sweeps import SweepFolder, SweepMember, SweepRecord, Words, sweep_folder, write_sweep
from seqrl_cli.workflows.sweep.dry_run import dry_run
from seqrl_cli.workflows.sweep.followers import NOBODY, Followers
from seqrl_cli.workflows.sweep.report import SweepReport
from seqrl_cli.workflows.sweep.setup import Cluster, SweepRequest, set_up
from seqrl_cli.workflows.sweep.states import accepted, state_of, states_of, states_text

__all__ = ["SweepReport", "SweepRequest", "dry_run", "run"]


def run(request: SweepRequest, console: Console) -> SweepReport:
    """Run the members that are not finished, here or on a cluster, or write the script that does.

    Raises:
        UsageError: the grid makes no sweep.
        SeqrlError: another process runs this sweep; or members failed, which the error names; the others are finished.
        CommandInterruptedError: Ctrl-C; what ran has saved.
    """
    start = time.perf_counter()
    sweep = set_up(request)
    folder = sweep_folder(request.store, sweep.record.name)
    cluster = request.cluster
    launcher = _launcher(request, console)  # a cluster that is not there is an error before anything is written
    script, job = None, None
    failed: Mapping[str, str] = {}
    with locked(folder.path, console):
        write_sweep(folder, sweep.record)
        make_data(request, sweep.missing_data, console)
        states = states_of(request.store, folder, sweep.record)
        left = [index for index, state in enumerate(states) if not state.done]
        console.note(f"{folder.path}: {states_text(states)}")
        if launcher is None and cluster is not None and left:
            script, job = _job_array(cluster, request, folder, left)
        elif launcher is not None and left:
            tasks = [member_task(request.store.root, folder, sweep.record, index, request.followers) for index in left]
            failed = run_tasks(launcher, tasks, console, f"sweep {sweep.record.name}, runs")
    states = [state_of(request.store, member) for member in sweep.record.members]
    seconds = time.perf_counter() - start
    if launcher is not None and not failed:
        states = accepted(states)
    report = SweepReport(sweep.record.name, tuple(states), failed, script, job, seconds)
    if failed:
        hint = f"their logs are in {folder.logs}; the same command runs them again"
        raise SeqrlError(failures_text(failed, "member"), hint)
    return report


def member_task(
    root: Path,
    folder: SweepFolder,
    record: SweepRecord,
    index: int,
    followers: Followers = NOBODY,
    log: bool = True,
) -> Task:
    """A member as a task; without ``log`` it prints to this process's own streams."""
    member: SweepMember = record.members[index]
    return Task(
        name=member.run,
        steps=followers.commands(member),
        root=root.resolve(),
        run=root.resolve() / member.run,
        log=folder.log(index, member.name).resolve() if log else None,
        needs=folder.record.resolve(),
        index=index,
        holder=folder.holder(index, member.name).resolve(),
        after=followers.last(member),
    )


def _launcher(request: SweepRequest, console: Console) -> Launcher | None:
    """What runs the members; None if a scheduler does without us.

    Raises:
        SeqrlError: the cluster, or the scheduler that members are to be submitted to, is not there.
    """
    cluster = request.cluster
    if cluster is None:
        return LocalLauncher(request.jobs, request.retries, console.note)
    if cluster.kind == "ray":
        return RayLauncher(cluster.address, cpus=cluster.cpus, gpus=cluster.gpus or 0.0, retries=request.retries)
    if cluster.submit:
        require_scheduler(cluster.kind)
    return None


def make_data(request: SweepRequest, commands: Sequence[Words], console: Console) -> None:
    """Make datasets that are missing, one after the other, so that members need not wait for each other's.

    Raises:
        CommandInterruptedError: Ctrl-C.
        SeqrlError: a dataset cannot be made.
    """
    for words in commands:
        console.note(f"data: {typed_command(*words)}")
        with when_interrupted("interrupted while making the data", "the same command resumes"):
            task = Task(words[1], ((*words, *request.network),), request.store.root.resolve())
            ended = run_task(task, request.retries)
        if not ended.done:
            raise SeqrlError(f"the data of {words[1]} cannot be made: {ended.reason}", "the message above says why")


def _job_array(cluster: Cluster, request: SweepRequest, folder: SweepFolder, left: list[int]) -> tuple[str, str | None]:
    """Write the script of a job array, and submit it if that is wanted; returns the script and the array's id."""
    array = job_array(cluster, request, folder, left, at_once=request.jobs if request.jobs > 1 else None)
    write_script(array)
    return array.submission, submit(array) if cluster.submit else None


def job_array(
    cluster: Cluster, request: SweepRequest, folder: SweepFolder, indices: list[int], at_once: int | None = None
) -> JobArray:
    """What the jobs of a sweep have in common."""
    return JobArray(
        kind=cluster.kind,
        name=folder.path.name,
        root=request.store.root.resolve(),
        logs=folder.logs.resolve(),
        script=folder.script(cluster.kind).resolve(),
        indices=indices,
        words=request.followers.words,
        cpus=cluster.cpus,
        gpus=cluster.gpus,
        time=cluster.time,
        options=cluster.options,
        at_once=at_once,
    )


def trial_launcher(request: SweepRequest, folder: SweepFolder, console: Console) -> Launcher:
    """What runs the trials of a search, which this process waits for.

    Raises:
        SeqrlError: the cluster is not there.
    """
    cluster = request.cluster
    if cluster is not None and cluster.kind == "slurm":
        return SlurmLauncher(job_array(cluster, request, folder, []), request.jobs)
    launcher = _launcher(request, console)
    assert launcher is not None
    return launcher
