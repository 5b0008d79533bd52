"""Recordings whose first row of an episode is its reset: the first observation, and an action that nobody took.

Dreamer's replay has this layout: the action and the reward of a row *led to* its observation, and those of the first
row are zeros. In :class:`~seqrl_cli.data.episodes.Episodes` an action is taken *at* its observation. So actions,
rewards and flags move up by one row, and the observation after the last action, which has no row there, is dropped.

RLDS uses the same names of columns with the other layout; there, the last action of an episode is filled with zeros.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError

_HINT = (
    "say which: data.reset_rows=true (a row's action led to its observation, as in Dreamer's files) "
    "or data.reset_rows=false (it was taken there)"
)
_RARE, _USUAL = 0.01, 0.9
_ENOUGH = 3


def settle_reset_rows(
    episodes: Episodes, log: ReadingLog, *, has_reset_rows: bool | None, strict: bool, source: str
) -> Episodes:
    """Move actions, rewards and flags up by a row if the first row of every episode is its reset.

    Args:
        episodes: as the file has them.
        log: what the file's columns told, and where to record the decision.
        has_reset_rows: what the user says; None leaves it to the data.
        strict: whether to raise; otherwise an open question becomes a warning.
        source: name of the file in errors.

    Raises:
        SeqrlError: the data do not tell, and the user did not say; or nothing remains.
    """
    if has_reset_rows is None:
        has_reset_rows = _look(episodes, log.marks_first_rows)
        if has_reset_rows is None:
            message = "every episode begins with an action of zeros, as if that row were its reset"
            if strict:
                raise SeqrlError(f"{source}: {message}", _HINT)
            log.warn(f"{message}; {_HINT}")
    if not has_reset_rows:
        return episodes
    if not (episodes.lengths > 1).any():
        raise SeqrlError(f"{source} contains nothing but reset rows", "set data.reset_rows=false if they are none")
    log.remark("the first row of every episode is its reset, so actions and rewards move up by one row")
    return shifted(episodes)


def _look(episodes: Episodes, marks_first_rows: bool) -> bool | None:
    """Whether first rows are resets; None if only the rewards leave it open."""
    if episodes.actions.ndim != 2 or episodes.transitions == len(episodes):
        return False
    first, others = _rows(episodes)
    idle = np.all(episodes.actions == 0, axis=1)
    if not idle[first].all() or episodes.rewards[first].any() or idle[others].mean() > _RARE:
        return False
    if marks_first_rows:
        return True
    if len(episodes) < _ENOUGH:
        return False
    return True if np.mean(episodes.rewards[others] != 0) > _USUAL else None


def _rows(episodes: Episodes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The first row of every episode, and which rows are not first."""
    first = episodes.offsets[:-1]
    others = np.ones(episodes.transitions, dtype=bool)
    others[first] = False
    return first, others


def shifted(episodes: Episodes) -> Episodes:
    """The episodes with actions, rewards and flags one row earlier, and without the last observation of each."""
    _, after_reset = _rows(episodes)
    before_last = np.append(after_reset[1:], False)
    return Episodes(
        episodes.observations[before_last],
        episodes.actions[after_reset],
        episodes.rewards[after_reset],
        episodes.terminals[after_reset],
        episodes.timeouts[after_reset],
        np.concatenate([[0], np.cumsum((episodes.lengths - 1)[episodes.lengths > 1])]),
        episodes.declared,
    )
