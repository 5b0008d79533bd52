"""Recordings whose first row of an episode is its reset: the first observation, and an action that nobody took.

Dreamer's replay has this layout: the action and the reward of a row *led to* its observation, and those of the first
row are zeros. In :class:`~seqrl_cli.data.episodes.Episodes` an action is taken *at* its observation. So actions,
rewards and flags move up by one row, and the observation after the last action, which has no row there, is dropped.

RLDS uses the same names of columns with the other layout: the last row of an episode has an observation and its flags,
but no action and no reward, which are zeros there. Its name for that row, ``is_last``, is enough to look for that.
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
        episodes: the episodes as the file has them.
        log: the log, which says what the file's columns told; receives the decision.
        has_reset_rows: the user's word on whether these rows are resets; None leaves it to the data.
        strict: whether to raise; otherwise an open question becomes a warning.
        source: name of the file in errors.

    Raises:
        SeqrlError: the data do not tell, and the user did not say; or nothing remains.
    """
    if has_reset_rows is None and _has_idle_last_rows(
        episodes, log.marks_first_rows or (log.has_is_last and len(episodes) >= _ENOUGH)
    ):
        log.remark("the last row of every episode has no action, so it is dropped")
        return _moved(episodes, actions_move=False)
    if has_reset_rows is None:
        has_reset_rows = _has_reset_rows(episodes, log.marks_first_rows)
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
    return _moved(episodes, actions_move=True)


def _has_reset_rows(episodes: Episodes, marks_first_rows: bool) -> bool | None:
    """Whether first rows are resets; None if it is likely, but only actions say so."""
    others = _not_first(episodes)
    if not _are_idle(episodes, ~others):
        return False
    if marks_first_rows:
        return True
    if len(episodes) < _ENOUGH:
        return False
    return True if np.mean(episodes.rewards[others] != 0) > _USUAL else None


def _has_idle_last_rows(episodes: Episodes, is_marked: bool) -> bool:
    """Whether last rows have neither an action nor a reward, as in RLDS; only where rows are marked as there."""
    return is_marked and _are_idle(episodes, np.append(~_not_first(episodes)[1:], True))


def _are_idle(episodes: Episodes, rows: NDArray[np.bool_]) -> bool:
    """Whether actions and rewards are 0 in all of these rows, and actions almost never in the others."""
    if episodes.actions.ndim != 2 or rows.all():
        return False
    idle = np.all(episodes.actions == 0, axis=1)
    return bool(idle[rows].all() and not episodes.rewards[rows].any() and idle[~rows].mean() <= _RARE)


def _not_first(episodes: Episodes) -> NDArray[np.bool_]:
    """The rows that are not the first of their episode."""
    others = np.ones(episodes.transitions, dtype=bool)
    others[episodes.offsets[:-1]] = False
    return others


def _moved(episodes: Episodes, *, actions_move: bool) -> Episodes:
    """The episodes without the last observation of each, and with flags one row earlier.

    Args:
        episodes: some of them longer than one row.
        actions_move: whether actions and rewards are moved one row earlier, too; otherwise those of last rows go.
    """
    after_first = _not_first(episodes)
    before_last = np.append(after_first[1:], False)
    taken = after_first if actions_move else before_last
    return Episodes(
        episodes.observations[before_last],
        episodes.actions[taken],
        episodes.rewards[taken],
        episodes.terminals[after_first],
        episodes.timeouts[after_first],
        np.concatenate([[0], np.cumsum((episodes.lengths - 1)[episodes.lengths > 1])]),
        episodes.declared,
    )
