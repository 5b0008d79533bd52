"""How far the members of a sweep are, derived from their runs alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seqrl_cli.artifacts.policy import pin_target
from seqrl_cli.config.plan_names import plan_name
from seqrl_cli.config.presets import load_config
from seqrl_cli.console import counted
from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.episode_files import episode_path, read_episode
from seqrl_cli.runs.holder import has_holder
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import is_locked
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import status_of
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import SweepFolder, SweepMember, SweepRecord, Words
from seqrl_cli.tracking.metrics import last_validation_loss, read_training_lines
from seqrl_cli.workflows.sweep.setup import with_plan

WAITING = "waiting"
STARTING = "starting"
FINISHED = "finished"
MISSING = "missing"
FOREIGN = "foreign"


@dataclass(frozen=True)
class MemberState:
    """How far a member is.

    Attributes:
        run: path of the run's folder below the run directory.
        status: ``waiting``, ``finished``, or that of its run; ``planning`` if episodes are still to be played;
            ``starting`` if a process runs it that has not begun its run yet; ``missing`` if it was started, has no
            run and no process: it was renamed, archived or deleted, or failed at once; ``foreign`` if another command
            made the finished run of its name, whose settings the sweep compares when it comes to it.
        updates: updates made so far.
        validation_loss: the last one.
        episodes: number of episodes planned so far.
        wanted: number of episodes to plan.
        score: mean normalized score of the planned episodes, in percent; None without reference scores.
        mean_return: mean return of the planned episodes.
        own: whether the run was trained by the member's own command line.
    """

    run: str
    status: str
    updates: int | None = None
    validation_loss: float | None = None
    episodes: int = 0
    wanted: int = 0
    score: float | None = None
    mean_return: float | None = None
    own: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.status == FINISHED and self.own


def state_of(store: RunStore, member: SweepMember) -> MemberState:
    """How far a member is."""
    folder = RunFolder(store.root / member.run)
    try:
        record = read_record(folder.record)
    except SeqrlError:
        return MemberState(member.run, "damaged" if folder.record.exists() else WAITING)
    lines = read_training_lines(folder.metrics)
    updates, loss = (lines[-1].step if lines else None), last_validation_loss(lines)
    status = status_of(folder, record)
    if status != FINISHED:
        return MemberState(member.run, status, updates, loss)
    plans = [_planned(folder, record, step) for step in member.steps[1:]]
    found = [episode for episodes, _ in plans for episode in episodes]
    wanted = sum(count for _, count in plans)
    scores = [score for score, _ in found if score is not None]
    own = _is_command(record.argv, member.steps[0])
    return MemberState(
        member.run,
        FOREIGN if not own else FINISHED if len(found) >= wanted else "planning",
        updates,
        loss,
        len(found),
        wanted,
        100 * float(np.mean(scores)) if scores else None,
        float(np.mean([each for _, each in found])) if found else None,
        own=own,
    )


def states_of(store: RunStore, folder: SweepFolder, record: SweepRecord) -> list[MemberState]:
    """How far the members of a sweep are, in order."""
    states = [state_of(store, member) for member in record.members]
    for index, (member, state) in enumerate(zip(record.members, states, strict=True)):
        if state.status == WAITING:
            states[index] = replace(state, status=_without_run(store, folder, index, member))
    return states


def accepted(states: Sequence[MemberState]) -> list[MemberState]:
    """The states after all members have run: the settings of foreign runs were compared and are the same."""
    return [replace(state, status=FINISHED) if state.status == FOREIGN else state for state in states]


def _without_run(store: RunStore, folder: SweepFolder, index: int, member: SweepMember) -> str:
    """The status of a member that has no run: a process is about to begin it, or it had one, or it waits."""
    if is_locked(store.root / member.run) or has_holder(folder.holder(index, member.name)):
        return STARTING
    log = folder.log(index, member.name)
    started = (log.is_file() and log.stat().st_size > 0) or store.archived(member.run).exists()
    return MISSING if started else WAITING


def states_text(states: Sequence[MemberState]) -> str:
    """The numbers of members by status: ``16 members: 12 finished, 2 running, 2 waiting``."""
    counts = Counter(state.status for state in states)
    return f"{counted(len(states), 'member')}: " + ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _is_command(argv: Sequence[str], words: Words) -> bool:
    """Whether a recorded command line is that of a member; where the run directory is does not matter."""
    return tuple(argv[1 : len(words) + 1]) == words


def _planned(folder: RunFolder, record: RunRecord, words: Words) -> tuple[list[tuple[float | None, float]], int]:
    """Scores and returns of the episodes that a planning command has played, and how many it will have played."""
    try:
        config = with_plan(load_config(folder.config), words)
        config = pin_target(config, record.return_range, folder.record)
    except SeqrlError:
        return [], 1
    name = plan_name(config.plan, record.arch, _seed(words))
    names = [f"{task.env_id.replace('/', '_')}-{name}" for task in record.tasks] or [name]
    paths = [episode_path(folder.plans / each, i) for each in names for i in range(config.plan.episodes)]
    return [result for path in paths if (result := _result(path))], len(paths)


def _result(path: Path) -> tuple[float | None, float] | None:
    try:
        episode = read_episode(path)
    except SeqrlError:
        return None
    return episode.score, episode.return_


def _seed(words: Words) -> int:
    return int(words[words.index("--seed") + 1]) if "--seed" in words else 0
