"""``seqrl plan`` with all runs of a sweep, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seqrl_cli.console import Console, amount, counted, typed_command
from seqrl_cli.errors import SeqrlError
from seqrl_cli.launch.batch import failures_text, run_tasks
from seqrl_cli.launch.launcher import Launcher
from seqrl_cli.launch.task import Task
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import SweepFolder, SweepMember, find_sweep, runs_of_sweep
from seqrl_cli.workflows.sweep.states import MemberState, state_of


@dataclass(frozen=True)
class PlanGroupRequest:
    """Planning with the runs of a sweep.

    Attributes:
        store: the run directory.
        sweep: name of the sweep.
        words: the words of ``seqrl plan``, without the run.
        launcher: makes what runs the commands.
        threads: CPU threads of each.
    """

    store: RunStore
    sweep: str
    words: tuple[str, ...]
    launcher: Callable[[], Launcher]
    threads: int = 1


@dataclass(frozen=True)
class PlanGroupReport:
    """Result of planning with the runs of a sweep: what each reached with these settings."""

    sweep: str
    runs: tuple[MemberState, ...]

    def text(self) -> str:
        """A line per run, and how to compare them."""
        lines = [f"{state.run}: {_reached(state)} in {counted(state.episodes, 'episode')}" for state in self.runs]
        return "\n".join([*lines, f"to compare them: seqrl table {self.sweep}"])


def plan_group(request: PlanGroupRequest, console: Console) -> PlanGroupReport:
    """Plan with every run of a sweep that exists; episodes that exist already are kept.

    Raises:
        SeqrlError: there is no such sweep, or planning with some runs failed.
        CommandInterruptedError: Ctrl-C; finished episodes are kept.
    """
    folder = find_sweep(request.store, request.sweep)
    members = _members(request)
    tasks = [_task(request, folder, index, member) for index, member in enumerate(members)]
    failed = run_tasks(request.launcher(), tasks, console, f"plan {folder.path.name}, runs")
    if failed:
        raise SeqrlError(
            failures_text(failed, "member"), f"their logs are in {folder.logs}; the same command runs them again"
        )
    states = [state_of(request.store, member) for member in members]
    return PlanGroupReport(folder.path.name, tuple(states))


def dry_run_group(request: PlanGroupRequest, console: Console) -> None:
    """Print the commands that planning with a sweep would run.

    Raises:
        SeqrlError: there is no such sweep.
    """
    commands = [typed_command(*member.steps[-1]) for member in _members(request)]
    console.emit({"sweep": request.sweep, "commands": commands})
    console.show("\n".join(commands))


def _members(request: PlanGroupRequest) -> list[SweepMember]:
    """The runs that exist, as members whose one plan is the one that is asked for."""
    return [
        member.model_copy(
            update={"steps": (member.steps[0], ("plan", member.run, *request.words, "--threads", str(request.threads)))}
        )
        for _, member in runs_of_sweep(request.store, request.sweep)
    ]


def _task(request: PlanGroupRequest, folder: SweepFolder, index: int, member: SweepMember) -> Task:
    log = folder.logs / f"plan-{folder.log(index, member.name).name}"
    return Task(member.run, member.steps[1:], request.store.root.resolve(), log=log.resolve())


def _reached(state: MemberState) -> str:
    if state.score is not None:
        return f"score {state.score:.1f}"
    return "no result" if state.mean_return is None else f"return {amount(state.mean_return)}"
