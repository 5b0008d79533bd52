"""``seqrl plan``: play episodes with a trained model, and write each as JSON and HDF5 when it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seqrl_cli.console import Console, amount, counted, duration
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.scores import percent_score
from seqrl_cli.envs.trust import remember
from seqrl_cli.errors import CommandInterruptedError
from seqrl_cli.models.device import use_threads
from seqrl_cli.planning.episode_files import (
    episode_path,
    episode_paths,
    read_episode,
    write_episode,
)
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.staged_episodes import finish_replacement, replacing_episodes
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.task_choice import require_tasks
from seqrl_cli.workflows.plan.episodes import missing_episodes, processes_of, what_is_kept
from seqrl_cli.workflows.plan.report import PlanReport, error_of_mean, shortened
from seqrl_cli.workflows.plan.setup import PlanRequest, PlanSession, open_session
from seqrl_cli.workflows.plan.tasks import dry_run_tasks, run_tasks
from seqrl_cli.workflows.plan.timing import measure


def run(request: PlanRequest, console: Console) -> PlanReport:
    """Play the episodes that are missing and summarize all of them.

    Raises:
        CommandInterruptedError: Ctrl-C; finished episodes are kept.
        SeqrlError: there is no such run, the model cannot hold the plan, or the results cannot be written.
    """
    use_threads(request.threads)
    session = open_session(request, console.warn)
    if session.task:
        return run_tasks(session, request, console)
    refuse_tasks(session, request)
    folder = session.folder
    wanted = session.config.episodes
    profile = Profile()
    start = time.perf_counter()
    with locked(folder, console):
        finish_replacement(folder)
        (missing,) = missing_episodes([session], request.force)
        if not missing:
            console.note(f"{folder} already has {counted(wanted, 'episode')}; --force plays again")
        else:
            if len(missing) < wanted:
                console.note(f"{wanted - len(missing)} of {wanted} episodes exist already")
            _announce(session, missing, console)
            staged = request.force and bool(episode_paths(folder))
            with replacing_episodes([folder], staged=staged):
                play(session, missing, profile, console, staged=staged)
        return report([session], len(missing), time.perf_counter() - start, profile)


def dry_run(request: PlanRequest, console: Console) -> None:
    """Print what ``plan`` would do.

    Raises:
        SeqrlError: as :func:`run` before it plays.
    """
    use_threads(request.threads)
    session = open_session(request, console.warn)
    if session.task:
        return dry_run_tasks(session, request, console)
    refuse_tasks(session, request)
    facts = {
        "run": str(session.run.path),
        "checkpoint": session.trained.step,
        "environment": session.env_id,
        "to": str(session.folder),
        "episodes there": len(episode_paths(session.folder)),
        **session.agent.facts(session.config.envs),
        **{f"plan.{key}": value for key, value in session.settings.items()},
        **processes_of([session], request),
        "estimated time": estimated_time(session, console, request.processes),
    }
    at_terminals = session.terminal_rewards
    console.emit({**facts, "terminal_rewards": at_terminals})
    console.show_facts({**facts, **({"rewards at terminals": at_terminals} if at_terminals else {})})


def estimated_time(session: PlanSession, console: Console, processes: int) -> str:
    """How long the missing episodes take if none ends early, measured by a few steps of one of the processes."""
    missing = session.config.episodes - len(episode_paths(session.folder))
    if missing <= 0:
        return "nothing is left to play"
    console.note("measuring a few steps …")
    share = math.ceil(missing / processes)
    play = measure(session, share)
    took = duration(play.seconds(share))
    return f"about {took} for {counted(missing, 'episode')}, if none ends before {play.limit:,} steps"


def refuse_tasks(session: PlanSession, request: PlanRequest) -> None:
    """Stop if tasks are named for a run of one environment.

    Raises:
        UsageError: they are.
    """
    if request.tasks is not None:
        require_tasks((), str(session.run.path), "--tasks")


def _announce(session: PlanSession, missing: list[int], console: Console) -> None:
    settings = session.agent.describe(min(session.config.envs, len(missing)))
    count = counted(len(missing), "episode")
    console.note(f"planning {count} of {session.env_id} with {session.run.path}: {settings}")


def play(session: PlanSession, episodes: list[int], profile: Profile, console: Console, *, staged: bool) -> None:
    """Play episodes and write each when it ends.

    Args:
        session: the plan.
        episodes: numbers of the episodes.
        profile: receives the times.
        console: shows progress.
        staged: write them beside the existing ones, which they will replace.

    Raises:
        CommandInterruptedError: Ctrl-C; finished episodes are kept, unless they are staged.
        SeqrlError: the environment failed, or the results cannot be written.
    """
    num_envs = min(session.config.envs, len(episodes))
    vector = session.make_vector(num_envs, session.config.max_steps)
    remember(session.env_id)
    facts = session.facts()
    written: list[int] = []
    try:
        rollout = session.rollout(vector, profile)
        with console.progress("planning", "steps") as update:
            counter = _StepCounter(update, len(episodes), vector.max_episode_steps)

            def on_episode(record: EpisodeRecord) -> None:
                session.check_finite(record)
                session.require_run()
                write_episode(session.folder, facts, record, _score(session, record), staged=staged)
                written.append(record.episode)
                counter.on_episode(record)
                console.note(_episode_line(session, record))

            rollout.play(episodes, on_episode, counter.on_step)
    except KeyboardInterrupt as error:
        kept, hint = what_is_kept(len(written), len(episodes), staged)
        raise CommandInterruptedError(f"interrupted; {kept}", hint) from error
    except EnvironmentFailedError as error:
        kept, hint = what_is_kept(len(written), len(episodes), staged)
        raise EnvironmentFailedError(error.message, f"{kept}; once that is fixed, {hint}; {error.hint}") from error
    finally:
        vector.close()


@dataclass
class _StepCounter:
    """Counts steps for the progress bar; an unfinished episode counts as lasting to the step limit."""

    update: Callable[..., None]
    episodes: int
    limit: int
    steps: int = 0
    finished: int = 0
    finished_steps: int = 0

    def on_step(self, running: int, finished: int) -> None:
        """One step of every running episode."""
        self.steps += running
        total = self.finished_steps + (self.episodes - self.finished) * self.limit
        self.update(self.steps, total, f"{finished}/{self.episodes} episodes")

    def on_episode(self, record: EpisodeRecord) -> None:
        """An episode ended; its last step has not been counted yet."""
        self.steps += 1
        self.finished += 1
        self.finished_steps += len(record.actions)


def _episode_line(session: PlanSession, record: EpisodeRecord) -> str:
    percent = percent_score(record.total_reward, session.references)
    score = f", score {percent:.1f}" if percent is not None else ""
    end = "terminated" if record.terminated else "to the limit"
    steps = f"{len(record.actions)} steps ({end})"
    cut = shortened(record.plan_length, session.settings.get("horizon"))
    return f"episode {record.episode}: return {amount(record.total_reward)}{score}, {steps}{cut}"


def _score(session: PlanSession, record: EpisodeRecord) -> float | None:
    percent = percent_score(record.total_reward, session.references)
    return None if percent is None else percent / 100


def report(sessions: Sequence[PlanSession], fresh: int, seconds: float, profile: Profile) -> PlanReport:
    """Summarize the episodes of a plan of one environment.

    Args:
        sessions: the plan's one session.
        fresh: episodes that were played now.
        seconds: wall time of the call, in seconds.
        profile: how the time was spent.
    """
    (session,) = sessions
    episodes = [read_episode(episode_path(session.folder, i)) for i in range(session.config.episodes)]
    returns = np.array([episode.return_ for episode in episodes])
    lengths = [episode.plan_length for episode in episodes if episode.plan_length is not None]
    return PlanReport(
        folder=str(session.folder),
        episodes=len(episodes),
        fresh=fresh,
        mean_return=float(returns.mean()),
        standard_error=error_of_mean(returns),
        mean_score=percent_score(float(returns.mean()), session.references),
        mean_steps=float(np.mean([episode.steps for episode in episodes])),
        seconds=seconds,
        profile=profile.seconds,
        horizon=session.settings.get("horizon"),
        mean_plan_length=float(np.mean(lengths)) if lengths else None,
    )
