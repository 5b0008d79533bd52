"""What a terminal means in a dataset, which decides whether its reward is kept or replaced by a penalty.

The Trajectory Transformer (Janner et al., arXiv 2106.02039) replaces the reward at every terminal by -100, because in
D4RL's locomotion a terminal is a fall, and a fall earns an ordinary reward. Where a terminal is a goal, its reward is
what should be learned: an antmaze earns 1 there and 0 before, a kitchen's reward counts finished tasks.

Names alone do not tell the two apart, so the rewards are compared with each other, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqrl_cli.data.episodes import Episodes

Auto = Literal["auto"]

FALL_PENALTY = -100.0
"""What the Trajectory Transformer puts in place of the reward at a fall."""

_FALLING = re.compile(
    r"(d4rl/bullet-)?(hopper|walker2d|halfcheetah|ant|humanoid(standup)?|inverted(double)?pendulum)(bulletenv)?-v\d+",
    re.IGNORECASE,
)
_MIN_OUTSTANDING = 0.01  # of the terminals; fewer are taken for errors of a recording
_MIN_BEST, _MIN_OVER_CHANCE = 0.1, 3.0
_ALL_BEST, _ENOUGH_TERMINALS = 0.95, 10  # share, and number, from which terminals of a robot that falls are goals


def is_locomotion(env_id: str | None) -> bool:
    """Whether an environment is one of gymnasium's or D4RL's robots whose episodes end when they fall.

    D4RL's mazes and ``module:Env-v0`` of a user's own are not, whatever their names begin with.
    """
    return env_id is not None and _FALLING.fullmatch(env_id) is not None


@dataclass(frozen=True)
class TerminalRewards:
    """How the rewards at terminals compare with all others.

    Attributes:
        count: number of terminals.
        mean: mean reward at terminals; 0 without terminals.
        compared: terminals of episodes with at least two steps.
        best: those of them whose reward is above every other one of its episode.
        best_by_chance: the expected number of these if the steps of each episode were shuffled.
        outstanding: terminals whose reward is above every other reward of the dataset, by more than the whole range of
            these others.
    """

    count: int
    mean: float
    compared: int
    best: int
    best_by_chance: float
    outstanding: int

    @classmethod
    def of(cls, episodes: Episodes) -> TerminalRewards:
        """Compare the rewards of a dataset."""
        rewards = episodes.rewards.astype(np.float64)
        ends = episodes.offsets[1:] - 1
        at_terminal = rewards[ends[episodes.terminals[ends]]]
        comparable = episodes.terminals[ends] & (episodes.lengths > 1)
        before = rewards.copy()
        before[ends] = -np.inf
        best_before = np.maximum.reduceat(before, episodes.offsets[:-1])
        is_best = comparable & (rewards[ends] > best_before)
        return cls(
            count=len(at_terminal),
            mean=float(at_terminal.mean()) if len(at_terminal) else 0.0,
            compared=int(comparable.sum()),
            best=int(is_best.sum()),
            best_by_chance=float((1 / episodes.lengths[comparable]).sum()),
            outstanding=_outstanding(at_terminal, rewards[~episodes.terminals]),
        )

    @property
    def stand_out(self) -> bool:
        """Whether terminals earn what nothing else does, or nearly all are the best steps of their episodes.

        Even of a robot that falls, they are then no falls.
        """
        nearly_all = self.compared >= _ENOUGH_TERMINALS and self.best >= _ALL_BEST * self.compared
        earns_more_than_chance = self.best > _MIN_OVER_CHANCE * self.best_by_chance
        outstanding = self.outstanding > 0 and self.outstanding >= _MIN_OUTSTANDING * self.count
        return outstanding or (nearly_all and earns_more_than_chance)

    @property
    def are_best(self) -> bool:
        """Whether terminals are the best steps of their episodes, more often than chance would have it.

        The last step of a fall is often fast and earns much: in Humanoid, two of five falls are the best step of their
        episode. So for robots that fall only :attr:`stand_out` counts.
        """
        chance = _MIN_OVER_CHANCE * self.best_by_chance
        return self.stand_out or (self.best >= _MIN_BEST * max(1, self.compared) and self.best > chance)


def _outstanding(at_terminal: np.ndarray, others: np.ndarray) -> int:
    if not len(others):
        return 0
    low, high = float(others.min()), float(others.max())
    return int((at_terminal - high > max(high - low, 1e-6 * abs(high))).sum())


@dataclass(frozen=True)
class TerminalRule:
    """What becomes of the rewards at a dataset's terminals.

    Attributes:
        penalty: the reward that takes their place; None = they are kept.
        terminals: number of terminals.
        reason: what is done and why, as half a sentence: ``kept: …``, ``replaced by -100: …``.
        loses: the rewards that a configured penalty replaces although they should be kept, in words; else None.
    """

    penalty: float | None
    terminals: int
    reason: str
    loses: str | None = None


def terminal_rule(episodes: Episodes, asked: float | Auto | None, env_id: str | None) -> TerminalRule:
    """Decide what becomes of the rewards at terminals.

    A number or None is obeyed. ``auto`` keeps the rewards of terminals that stand out, and of all environments but
    those whose terminals are falls (:func:`is_locomotion`).

    Args:
        episodes: the data.
        asked: the setting ``data.termination_penalty``.
        env_id: gymnasium id of its environment; None if unknown.
    """
    found = TerminalRewards.of(episodes)
    falls = is_locomotion(env_id)
    if asked == "auto":
        return _found_rule(found, env_id, falls)
    if asked is None:
        return TerminalRule(None, found.count, "kept, as the preset or your settings say")
    most = max(found.best, found.outstanding)
    loses = f"{most:,} of them the best of their episodes, {found.mean:.4g} on average"
    is_loss = found.count > 0 and (found.stand_out if falls else found.are_best)
    reason = f"replaced by {asked:g}, as the preset or your settings say"
    return TerminalRule(asked, found.count, reason, loses if is_loss else None)


def _found_rule(found: TerminalRewards, env_id: str | None, falls: bool) -> TerminalRule:
    """The rule that the data and their environment suggest."""
    if falls and not found.stand_out and found.count:
        why = f"replaced by {FALL_PENALTY:g}: the terminals of {env_id} are falls"
        return TerminalRule(FALL_PENALTY, found.count, why)
    if found.are_best:
        most = max(found.best, found.outstanding)
        return TerminalRule(None, found.count, f"kept: {most:,} of {found.count:,} are the best of their episodes")
    where = env_id or "the environment, which is unknown,"
    return TerminalRule(None, found.count, f"kept: {where} may reward them")
