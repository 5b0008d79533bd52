"""How long the episodes of a plan take if none ends early."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass

from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.timing import seconds_per_step
from seqrl_cli.workflows.plan.setup import PlanSession


@dataclass(frozen=True)
class PlayTime:
    """How long episodes take on this machine.

    Attributes:
        per_step: seconds of one step of all episodes that run at once.
        limit: steps of an episode that does not end before.
        envs: episodes that run at once.
    """

    per_step: float
    limit: int
    envs: int

    def seconds(self, episodes: int) -> float:
        """Seconds of so many episodes if none ends before the limit."""
        return self.per_step * self.limit * math.ceil(episodes / self.envs)


def measure(session: PlanSession, episodes: int, patience: float = 10.0) -> PlayTime:
    """Play a few steps of some episodes, and keep nothing of them.

    Args:
        session: how to play.
        episodes: how many are wanted.
        patience: seconds after which the steps so far must do.

    Raises:
        SeqrlError: the environment cannot be made, or the model cannot play in it.
    """
    envs = min(session.config.envs, episodes)
    with closing(session.make_vector(envs, session.config.max_steps)) as vector:
        limit = vector.max_episode_steps
        rollout = session.rollout(vector, Profile())
        config = session.config
        per_step = seconds_per_step(rollout, config.max_context_transitions, config.plan_freq, patience)
    return PlayTime(per_step, limit, envs)
