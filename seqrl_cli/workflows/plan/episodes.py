"""Which episodes of a plan exist already, and what an interruption leaves."""

from __future__ import annotations

from collections.abc import Sequence

from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.episode_files import DamagedEpisodeError, episode_path, episode_paths, is_whole, read_episode
from seqrl_cli.workflows.plan.setup import PlanRequest, PlanSession


def has_episode(session: PlanSession, episode: int) -> bool:
    """Whether a complete episode of this number exists that was played with this checkpoint.

    Raises:
        SeqrlError: the episode was played with another checkpoint or other weights, or written by a newer seqrl.
    """
    path = episode_path(session.folder, episode)
    try:
        episode_file = read_episode(path)
    except DamagedEpisodeError:
        return False
    others, now = episode_file.plan.settings.get("ensemble"), session.settings.get("ensemble")
    if others != now:
        message = f"weights of the ensemble have changed since {path} was played: from {others} to {now}"
        raise SeqrlError(message, "--force plays again")
    step = episode_file.plan.checkpoint_step
    if step is not None and step != session.trained.step:
        message = f"{path} was played with checkpoint {step}, not {session.trained.step}"
        hint = f"--force plays again; --checkpoint {session.trained.step} plays beside these episodes and keeps them"
        raise SeqrlError(message, hint)
    played, weights = episode_file.plan.weights, session.weights
    if None not in (played, weights) and played != weights:
        message = f"{path} was played with other weights than those that {session.run.path} has now"
        raise SeqrlError(message, "the run was trained again meanwhile; --force plays again")
    return step is not None and is_whole(episode_file)


def missing_episodes(sessions: Sequence[PlanSession], force: bool) -> list[list[int]]:
    """The numbers of the episodes that are missing, of each task; all of them with ``force``.

    Raises:
        SeqrlError: as :func:`has_episode`.
    """
    return [[i for i in range(one.config.episodes) if force or not has_episode(one, i)] for one in sessions]


def what_is_kept(written: int, wanted: int, replace: bool) -> tuple[str, str]:
    """Two texts for a plan that was stopped: what was kept, and what the same command does next."""
    if replace:
        return "the earlier episodes were kept unchanged", "the same command starts over"
    kept = f"{written} of {wanted} episodes were finished and kept"
    return kept, "the same command, without --force, plays the missing ones"


def processes_of(sessions: Sequence[PlanSession], request: PlanRequest) -> dict[str, int]:
    """How many processes would share the episodes, as a fact to show; none if one plays them all."""
    wanted = sum(session.config.episodes - len(episode_paths(session.folder)) for session in sessions)
    count = min(request.processes, wanted)
    return {"processes": count} if count > 1 else {}
