"""One plan played by several processes: on this machine, or on the nodes of a cluster.

An episode depends on its number and the seed alone, so who plays it makes no difference. The command that was typed
holds the locks of the plan's folders and starts the parts; each part plays its share of the missing episodes and writes
them where the command would. Episodes that replace others are staged by the parts, and take their places together.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from seqrl_cli.config.owners import has_key
from seqrl_cli.console import Console, counted
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.launch.batch import failures_text, run_tasks
from seqrl_cli.launch.launcher import Launcher
from seqrl_cli.launch.task import Task
from seqrl_cli.models.build import device_of
from seqrl_cli.models.device import available_memory, use_threads
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.staged_episodes import finish_replacement, replacing_episodes
from seqrl_cli.runs.lock import locked
from seqrl_cli.workflows.plan import run as whole
from seqrl_cli.workflows.plan import tasks as many
from seqrl_cli.workflows.plan.ensemble import described
from seqrl_cli.workflows.plan.episodes import missing_episodes
from seqrl_cli.workflows.plan.report import PlanReport
from seqrl_cli.workflows.plan.setup import PlanRequest, PlanSession, open_session

_LOGS = "logs"
_KEPT = {
    False: "finished episodes were kept; the same command plays what is missing",
    True: "the earlier episodes were kept unchanged; the same command starts over",
}
"""What a plan leaves that was stopped, by whether its episodes replace others."""


@dataclass(frozen=True)
class Part:
    """A share of a plan: every ``of``-th of its episodes, counted over its tasks, from ``index`` on.

    Attributes:
        index: number of the part, from 0.
        of: the number of parts.
        step: updates of the checkpoint that all parts play, though the run may have a newer one by now.
    """

    index: int
    of: int
    step: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read ``INDEX/OF@STEP``.

        Raises:
            UsageError: it is something else.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})@(\d{1,15})", text)
        part = cls(*map(int, found.groups())) if found else cls(0, 0, 0)
        if part.index >= part.of:
            hint = "write INDEX/OF@STEP, such as 0/4@1000; `seqrl plan --jobs` does so itself"
            raise UsageError(f"--part is {text!r}", hint)
        return part

    @property
    def text(self) -> str:
        """What :meth:`parse` reads."""
        return f"{self.index}/{self.of}@{self.step}"

    def share(self, missing: Sequence[Sequence[int]], episodes: int) -> list[list[int]]:
        """The part's share of the missing episodes of each task."""
        return [
            [number for number in numbers if (task * episodes + number) % self.of == self.index]
            for task, numbers in enumerate(missing)
        ]


@dataclass(frozen=True)
class PartsRequest:
    """A plan that several processes play.

    Attributes:
        plan: the plan.
        words: the words of ``seqrl plan`` after the run, for each part.
        launcher: makes what runs the parts.
        parts: number of processes; None = as many as the launcher runs at once.
        share_memory: whether the parts divide the memory that is free here, for which nobody set a limit.
    """

    plan: PlanRequest
    words: tuple[str, ...]
    launcher: Callable[[], Launcher]
    parts: int | None = None
    share_memory: bool = False


@dataclass(frozen=True)
class PartReport:
    """Result of a part: how many episodes it played."""

    folder: str
    fresh: int

    def text(self) -> str:
        """One line."""
        return f"{counted(self.fresh, 'episode')}\n{self.folder}"


def play_part(request: PlanRequest, part: Part, console: Console) -> PartReport:
    """Play a share of the missing episodes; its caller holds the locks and puts staged episodes in their places.

    Raises:
        CommandInterruptedError: Ctrl-C; finished episodes are kept.
        SeqrlError: as :func:`seqrl_cli.workflows.plan.run.run`.
    """
    use_threads(request.threads)
    base = _session_of_part(request, part, console)
    sessions = sessions_of(base, request)
    missing = part.share(missing_episodes(sessions, request.force), base.config.episodes)
    count = sum(map(len, missing))
    if count and base.task:
        many.play(sessions, missing, Profile(), console, staged=request.force)
    elif count:
        whole.play(base, missing[0], Profile(), console, staged=request.force)
    return PartReport(str(sessions[0].folder), count)


def _session_of_part(request: PlanRequest, part: Part, console: Console) -> PlanSession:
    """The session of the whole plan: its folder is named by the checkpoint only if the user named one."""
    pinned = replace(request, checkpoint=part.step, best_checkpoint=False)
    is_named = request.best_checkpoint or request.checkpoint is not None
    return replace(open_session(pinned, console.warn), checkpoint=part.step if is_named else None)


def run_parts(request: PartsRequest, console: Console) -> PlanReport:
    """Play the missing episodes of a plan in several processes, and summarize all of them.

    Raises:
        CommandInterruptedError: Ctrl-C; finished episodes are kept.
        SeqrlError: a part failed, or as :func:`seqrl_cli.workflows.plan.run.run`.
    """
    plan = request.plan
    base = open_session(plan, console.warn)
    sessions = sessions_of(base, plan)
    start = time.perf_counter()
    with ExitStack() as locks:
        for session in sessions:
            locks.enter_context(locked(session.folder, console))
            finish_replacement(session.folder)
        missing = sum(map(len, missing_episodes(sessions, plan.force)))
        if missing:
            with replacing_episodes([session.folder for session in sessions], staged=plan.force):
                _run(request, sessions, missing, console)
        report = many.report if base.task else whole.report
        summary = report(sessions, missing, time.perf_counter() - start, Profile())
        return replace(summary, profile={})  # each part has its own


def sessions_of(base: PlanSession, request: PlanRequest) -> list[PlanSession]:
    """One session per task that is played; one for a run of one environment.

    Raises:
        UsageError: tasks are named that the run does not have.
        SeqrlError: a task has no target return.
    """
    if base.task:
        return many.task_sessions(base, request.tasks)
    whole.refuse_tasks(base, request)
    return [base]


def _run(request: PartsRequest, sessions: Sequence[PlanSession], missing: int, console: Console) -> None:
    """Run the parts to their end.

    Raises:
        CommandInterruptedError: Ctrl-C; finished episodes are kept.
        SeqrlError: a part failed.
    """
    launcher = request.launcher()
    count = min(request.parts or launcher.slots, missing)
    console.note(f"planning {counted(missing, 'episode')} with {sessions[0].run.path} in {counted(count, 'part')}")
    tasks = [_task(request, sessions[0], Part(index, count, sessions[0].trained.step)) for index in range(count)]
    kept = _KEPT[request.plan.force]
    failed = run_tasks(launcher, tasks, console, "planning, parts", "part", kept)
    if failed:
        hint = f"their logs are in {sessions[0].folder / _LOGS}; {kept}"
        raise SeqrlError(failures_text(failed, "part"), hint)
    for task in tasks:
        assert task.log is not None
        task.log.unlink(missing_ok=True)
    with suppress(OSError):  # logs of other parts, that failed earlier
        (sessions[0].folder / _LOGS).rmdir()


def _task(request: PartsRequest, session: PlanSession, part: Part) -> Task:
    root = request.plan.store.root.resolve()
    words = ("plan", str(session.run.path.absolute()), *_pinned(request.words, session))
    words += _memory(request, session, part.of)
    log = (session.folder / _LOGS / f"part-{part.index + 1:03d}.log").resolve()
    name = f"part {part.index + 1} of {part.of}"
    return Task(name, ((*words, "--part", part.text),), root, log=log, needs=session.run.record.resolve())


def _pinned(words: tuple[str, ...], session: PlanSession) -> tuple[str, ...]:
    """The words with the weights of the ensemble's further runs, though these may have newer ones by now."""
    key = "plan.ensemble="
    pinned = (f"{key}{described(session.others)}",) if session.others else ()
    return (*(word for word in words if not word.startswith(key)), *pinned)


def _memory(request: PartsRequest, session: PlanSession, parts: int) -> tuple[str, ...]:
    """The memory of each part in words, if they divide what one process would take."""
    trained = session.trained
    if not request.share_memory or request.plan.max_memory or not has_key(trained.record.arch, "plan.beam_width"):
        return ()
    return ("--max-memory", f"{available_memory(device_of(trained.model)) // 2 // parts // 2**20}MiB")
