"""``seqrl plan`` of a run for many tasks: all of them, or some, side by side with one model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import cast

import numpy as np

from seqrl_cli.console import Console, counted
from seqrl_cli.envs.scores import percent_score, references_of_data
from seqrl_cli.errors import CommandInterruptedError
from seqrl_cli.planning.episode_files import (
    EpisodeFile,
    PlanFacts,
    episode_path,
    episode_paths,
    read_episode,
    write_episode,
)
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Rollout, play_together
from seqrl_cli.planning.staged_episodes import finish_replacement, replacing_episodes
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.task_choice import chosen_tasks
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.workflows.plan.agents import TaskAgentSpec
from seqrl_cli.workflows.plan.episodes import missing_episodes, processes_of, what_is_kept
from seqrl_cli.workflows.plan.report import TaskResult, TasksReport, error_of_mean
from seqrl_cli.workflows.plan.setup import PlanRequest, PlanSession
from seqrl_cli.workflows.plan.targets import target_returns


def run_tasks(base: PlanSession, request: PlanRequest, console: Console) -> TasksReport:
    """Play the missing episodes of all chosen tasks and summarize all of them.

    Args:
        base: the run's session.
        request: the request, which names the tasks.
        console: shows progress.

    Raises:
        CommandInterruptedError: Ctrl-C; finished episodes are kept.
        SeqrlError: no task matches, an environment's package is missing, or the results cannot be written.
    """
    sessions = task_sessions(base, request.tasks)
    profile = Profile()
    start = time.perf_counter()
    with ExitStack() as locks:
        for session in sessions:
            locks.enter_context(locked(session.folder, console))
            finish_replacement(session.folder)
        missing = missing_episodes(sessions, request.force)
        fresh = sum(map(len, missing))
        if fresh:
            run = sessions[0].run.path
            names = sum(1 for numbers in missing if numbers)
            console.note(f"planning {counted(fresh, 'episode')} of {counted(names, 'task')} with {run}")
            with replacing_episodes([session.folder for session in sessions], staged=request.force):
                play(sessions, missing, profile, console, staged=request.force)
        else:
            console.note("all episodes exist already; --force plays again")
        return report(sessions, fresh, time.perf_counter() - start, profile)


def dry_run_tasks(base: PlanSession, request: PlanRequest, console: Console) -> None:
    """Print what ``plan`` would do; arguments as for :func:`run_tasks`."""
    sessions = task_sessions(base, request.tasks)
    facts = {
        "run": str(sessions[0].run.path),
        "checkpoint": sessions[0].trained.step,
        "tasks": ", ".join(session.env_id for session in sessions),
        "to": str(sessions[0].run.plans),
        "episodes there": sum(len(episode_paths(session.folder)) for session in sessions),
        **processes_of(sessions, request),
        **{f"plan.{key}": value for key, value in sessions[0].settings.items()},
    }
    console.emit(facts)
    console.show_facts(facts)


def task_sessions(base: PlanSession, patterns: str | None) -> list[PlanSession]:
    """One session per chosen task, all with the model of the run's session.

    Raises:
        UsageError: a pattern matches no task.
        SeqrlError: a task has no target return.
    """
    spec = cast(TaskAgentSpec, base.agent)
    tasks = chosen_tasks(base.trained.record.tasks, patterns)
    return [
        replace(
            base,
            agent=spec.for_task(task, target),
            env_id=task.env_id,
            references=references_of_data(task.env_id, task.mean_return),
            task=task,
        )
        for task, target in zip(tasks, target_returns(tasks, base.config), strict=True)
    ]


def play(
    sessions: Sequence[PlanSession],
    missing: Sequence[Sequence[int]],
    profile: Profile,
    console: Console,
    *,
    staged: bool,
) -> None:
    """Play episodes of several tasks side by side and write each when it ends.

    Args:
        sessions: one per task.
        missing: numbers of the episodes to play, of each task.
        profile: receives the times.
        console: shows progress.
        staged: write them beside the existing ones, which they will replace.

    Raises:
        CommandInterruptedError: Ctrl-C; finished episodes are kept, unless they are staged.
        SeqrlError: an environment failed, or the results cannot be written.
    """
    wanted = sum(map(len, missing))
    written = 0
    with ExitStack() as open_vectors:
        pairs = [(session, numbers) for session, numbers in zip(sessions, missing, strict=True) if numbers]
        rollouts = []
        for session, numbers in pairs:
            vector = session.make_vector(min(session.config.envs, len(numbers)), session.config.max_steps)
            open_vectors.callback(vector.close)
            agent = session.agent.make(len(vector), profile)
            purpose = [SeedStream.PLAN]
            rollouts.append(Rollout(agent, vector, seed=session.seed, purpose=purpose, profile=profile))
        try:
            with console.progress("planning", "episodes") as update:

                def on_episode(index: int, record: EpisodeRecord) -> None:
                    nonlocal written
                    session = pairs[index][0]
                    session.check_finite(record)
                    session.require_run()
                    score = percent_score(record.total_reward, session.references)
                    fraction = None if score is None else score / 100
                    write_episode(session.folder, _facts(session), record, fraction, staged=staged)
                    written += 1
                    update(written, wanted)

                play_together(rollouts, [numbers for _, numbers in pairs], on_episode)
        except KeyboardInterrupt as error:
            kept, hint = what_is_kept(written, wanted, staged)
            raise CommandInterruptedError(f"interrupted; {kept}", hint) from error


def _facts(session: PlanSession) -> PlanFacts:
    """What the episodes of a task share, with the return that the model was asked for."""
    facts = session.facts()
    target = cast(TaskAgentSpec, session.agent).target_return
    return replace(facts, settings={**facts.settings, "target_return": target})


def report(sessions: Sequence[PlanSession], fresh: int, seconds: float, profile: Profile) -> TasksReport:
    """Summarize the episodes of all tasks; arguments as for a plan of one environment."""
    played = [_read(session) for session in sessions]
    results = tuple(_result(session, episodes) for session, episodes in zip(sessions, played, strict=True))
    everything = [episode for episodes in played for episode in episodes]
    returns = np.array([episode.return_ for episode in everything])
    return TasksReport(
        folder=str(sessions[0].run.path),
        episodes=len(everything),
        fresh=fresh,
        mean_return=float(returns.mean()),
        standard_error=error_of_mean(returns),
        mean_score=_mean([result.score for result in results]),
        mean_steps=float(np.mean([episode.steps for episode in everything])),
        seconds=seconds,
        profile=profile.seconds,
        tasks=results,
        mean_success=_mean([result.success for result in results]),
    )


def _read(session: PlanSession) -> list[EpisodeFile]:
    return [read_episode(episode_path(session.folder, i)) for i in range(session.config.episodes)]


def _result(session: PlanSession, episodes: Sequence[EpisodeFile]) -> TaskResult:
    mean = float(np.mean([episode.return_ for episode in episodes]))
    spec = cast(TaskAgentSpec, session.agent)
    return TaskResult(
        task=session.env_id,
        dataset=spec.task.dataset,
        folder=str(session.folder),
        episodes=len(episodes),
        target_return=spec.target_return,
        mean_return=mean,
        score=percent_score(mean, session.references),
        success=_mean([episode.success for episode in episodes]),
        success_at_end=_mean([episode.success_at_end for episode in episodes]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
