"""Episodes played by the current policy, for exploration and for evaluation."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from seqrl_cli.data.policy_windows import Trajectory
from seqrl_cli.online.players import EpisodePlayer, MakeAgent
from seqrl_cli.planning.episode_record import EpisodeRecord


class EpisodeCollector:
    """Plays an iteration's episodes.

    An episode depends only on the weights, the seed and its number.

    Args:
        make_agent: makes a new agent for each iteration, since an agent may copy the weights.
        player: plays them.
        episodes: episodes per iteration.
        seed: seed of the environments and of the policy's samples.
        fresh: whether each iteration plays new episodes, as exploration does. Otherwise all iterations play the same
            ones, so that evaluations differ only by the weights.
        on_warning: called for each episode that is left out.
    """

    def __init__(
        self,
        make_agent: MakeAgent,
        player: EpisodePlayer,
        episodes: int,
        seed: int,
        *,
        fresh: bool,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self.make_agent = make_agent
        self.player = player
        self.episodes = episodes
        self.seed = seed
        self.fresh = fresh
        self.on_warning = on_warning

    def __call__(self, iteration: int, on_step: Callable[[], None]) -> list[Trajectory]:
        """The iteration's episodes in their order; those that hold NaN or infinity are left out.

        Args:
            iteration: selects the episodes if ``fresh``.
            on_step: called now and then; may raise.
        """
        first = iteration * self.episodes if self.fresh else 0
        records = self.player.play(self.make_agent, self.seed, range(first, first + self.episodes), on_step)
        return [_trajectory(record) for record in sorted(records, key=attrgetter("episode")) if self._is_finite(record)]

    def _is_finite(self, record: EpisodeRecord) -> bool:
        """Whether an episode may enter the buffer; a diverged simulation may not."""
        broken = record.not_finite
        if broken and self.on_warning:
            kind = "exploration" if self.fresh else "evaluation"
            self.on_warning(f"{kind} episode {record.episode} is left out: it has {broken} that are not finite")
        return not broken


def _trajectory(record: EpisodeRecord) -> Trajectory:
    return Trajectory(record.observations[:-1], record.actions, record.rewards, record.terminated)
