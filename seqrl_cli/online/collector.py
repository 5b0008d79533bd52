"""Episodes of the policy as it is now, for exploration and for evaluation."""

from __future__ import annotations

from collections.abc import Callable

from seqrl_cli.data.policy_windows import Trajectory
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.planning.rollout import Agent, EpisodeRecord, Rollout


class Player:
    """Plays an iteration's episodes, several at once; an episode depends on the weights, the seed and its number only.

    Args:
        make_agent: makes the agent anew for every iteration, since it may keep what it derived from the weights.
        vector: the environments; as many episodes run at once as it has slots.
        episodes: episodes an iteration.
        seed: of the environments and of what the policy draws.
        fresh: whether every iteration has episodes of its own, as exploration wants; otherwise all start alike, so
            that evaluations differ by the weights alone.
        on_warning: told of episodes that are left out.
    """

    def __init__(
        self,
        make_agent: Callable[[], Agent],
        vector: SeededVectorEnv,
        episodes: int,
        seed: int,
        *,
        fresh: bool,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self.make_agent = make_agent
        self.vector = vector
        self.episodes = episodes
        self.seed = seed
        self.fresh = fresh
        self.on_warning = on_warning

    def __call__(self, iteration: int, on_step: Callable[[], None]) -> list[Trajectory]:
        """The iteration's episodes in the order of their numbers; those with numbers that are not finite are left out.

        Args:
            iteration: decides which episodes, if they are fresh ones.
            on_step: called between steps; may raise.
        """
        first = iteration * self.episodes if self.fresh else 0
        records: list[EpisodeRecord] = []
        rollout = Rollout(self.make_agent(), self.vector, seed=self.seed)
        rollout.play(range(first, first + self.episodes), records.append, lambda running, finished: on_step())
        return [_trajectory(record) for record in sorted(records, key=_number) if self._is_finite(record)]

    def _is_finite(self, record: EpisodeRecord) -> bool:
        """Whether an episode can be learnt from; a simulation that blew up must not get into the buffer."""
        broken = record.not_finite
        if broken and self.on_warning:
            kind = "exploration" if self.fresh else "evaluation"
            self.on_warning(f"{kind} episode {record.episode} is left out: it has {broken} that are not finite")
        return not broken


def _number(record: EpisodeRecord) -> int:
    return record.episode


def _trajectory(record: EpisodeRecord) -> Trajectory:
    return Trajectory(record.observations[:-1], record.actions, record.rewards, record.terminated)
