"""Flat arrays from untrusted files, checked and split into episodes.

HDF5 files, ``.npz`` archives and pickled episodes contain columns of equal length. What they are called, and what they
are then taken for, is in :mod:`~seqrl_cli.data.formats.column_names`; where episodes end, in
:mod:`~seqrl_cli.data.formats.episode_ends`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import FILE_HINT, CheckedColumns, Column
from seqrl_cli.data.formats.column_names import LAYOUT_HINT, ColumnNames
from seqrl_cli.data.formats.end_columns import EndColumns
from seqrl_cli.data.formats.episode_ends import DonesMeaning, FoundEnds, combine, jumps, overlong
from seqrl_cli.data.formats.padding import rows_before_padding
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.data.formats.used_rows import used_rows
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.mapped import Mapper

DEFAULT_EPISODE_STEPS = 1000

_FIRST_ROWS = 1000  # which differ already where a part of the observations is not the goal
_JOINED_AT_ONCE = 1000  # recordings; each takes more memory alone than its rows do

NO_STEP = "episodes without a step were left out"
PADDING = "left out padding at the ends of episodes"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ReadOptions:
    """How to turn columns into episodes.

    Attributes:
        observation_slice: number of leading observation dimensions to keep; None keeps all.
        max_episode_steps: longest possible episode, after which every one is cut; None trusts the marks of ends.
        default_steps: length of an episode if nothing marks ends but terminals; None = the recording is one episode.
        finite: refuse NaN and infinity, and questions that only the user can answer; False for inspecting a file.
        step_limit: the step limit of the environment, which replaces ``default_steps``; None if unknown.
        dones: meaning of ``dones``; None leaves it to the data.
        reset_rows: whether the first row of every episode is its reset; None leaves it to the data.
        skip_damaged: leave out the files of a folder that cannot be read, and warn of them; otherwise they are errors.
        mapper: maps observations and actions, which then stay on the disk; None reads them into memory.
        log: receives the decisions.
    """

    observation_slice: int | None = None
    max_episode_steps: int | None = None
    default_steps: int | None = DEFAULT_EPISODE_STEPS
    finite: bool = True
    step_limit: int | None = None
    dones: DonesMeaning | None = None
    reset_rows: bool | None = None
    skip_damaged: bool = False
    mapper: Mapper | None = field(default=None, compare=False)
    log: ReadingLog = field(default_factory=ReadingLog, compare=False)


def read_columns(columns: Mapping[str, Column], source: str, options: ReadOptions) -> Episodes:
    """Check columns and split them into episodes.

    Ends that ``dones`` marks count as terminals here; :func:`~seqrl_cli.data.formats.episode_ends.settle_dones`
    decides once all parts of a dataset are there.

    Args:
        columns: columns by their names in the file
            (:func:`~seqrl_cli.data.formats.column_names.columns_to_read` chooses them).
        source: name of the file in errors.
        options: the options of reading.

    Raises:
        SeqrlError: a column has the wrong shape or values, or there are no rows.
    """
    names = ColumnNames.of(columns)
    table = CheckedColumns(columns, source, options.finite, options.mapper, options.log)
    observations = table.observations(_chosen(names, "observations", options.log), options.observation_slice)
    if not len(observations):
        raise SeqrlError(f"{source} contains no transitions", FILE_HINT)
    actions = table.actions(_chosen(names, "actions", options.log))
    rewards = table.scalars(_chosen(names, "rewards", options.log))
    seen = observations
    if len(actions) == len(rewards) == len(observations) - 1:
        observations, seen = observations[:-1], observations[1:]  # there is one after the last action
    rows = len(observations)
    for role, column in (("actions", actions), ("rewards", rewards)):
        if len(column) != rows:
            name = names.first(role)
            raise SeqrlError(f"{source}: {name} has {len(column)} rows, but observations has {rows}", LAYOUT_HINT)
    data = (observations, actions, rewards)
    is_episode = options.default_steps is None
    kept = used_rows(columns, names, data, options.log)
    if kept == rows and is_episode and (kept := rows_before_padding(columns, names, (seen, actions, rewards))) < rows:
        options.log.remark(PADDING)
    if kept < rows:
        return read_columns(_first_rows(columns, kept, rows), source, options)
    marks = EndColumns(columns, names, rows, source, options.log).marks()
    found = combine(marks, rows)
    following = names.first("next_observations")
    if following is not None:
        found = _with_resets(found, table, following, observations, options.log)
    _note_open_question(found, marks.ends, names, options)
    timeouts = found.timeouts | _cuts(found, marks.timeouts is not None, options)
    observations = _with_goals(observations, table, names, options)
    episodes = Episodes.from_flags(observations, actions, rewards, found.terminals, timeouts)
    if options.finite:
        _refuse_huge_returns(episodes, source)
    return episodes


def _with_goals(
    observations: NDArray[Any], table: CheckedColumns, names: ColumnNames, options: ReadOptions
) -> NDArray[Any]:
    """The observations after the goals of their rows, ``(n, O)``: in the order in which Gymnasium flattens them.

    Observations that contain the desired goal already stay as they are.
    """
    if not names.goals:
        return observations
    named = f"{', '.join(names.goals)} and {names.first('observations')}"
    rows = (len(observations), len(observations) + 1)
    found = [_goal(table.columns[name], rows) for name in names.goals]
    goals = [goal[: len(observations)] for goal in found if goal is not None]
    if observations.ndim != 2 or options.observation_slice is not None or len(goals) < len(found):
        options.log.warn(f"{named} cannot be joined, so goals are left out of the observations")
        return observations
    if _contains(observations, goals[-1]):
        return observations
    options.log.remark(f"joined {named}, as Gymnasium does")
    return np.concatenate([*goals, observations], axis=1)


def _goal(column: Column, rows: Collection[int]) -> NDArray[np.float32] | None:
    """Goals ``(n, G)``; None if the column is something else, or some of them are not finite."""
    if column.ndim != 2 or len(column) not in rows or not column.shape[1] or column.dtype.kind not in "iuf":
        return None
    values = np.asarray(column[:], np.float32)
    return values if np.isfinite(values).all() else None


def _contains(observations: NDArray[Any], goal: NDArray[Any]) -> bool:
    """Whether a goal ``(n, G)`` is a part of the observations ``(n, O)``."""
    size = goal.shape[1]
    parts = (observations[:, first : first + size] for first in range(observations.shape[1] - size + 1))
    near = partial(np.allclose, atol=1e-7)  # one of the two may have been stored in another precision
    return any(near(part[:_FIRST_ROWS], goal[:_FIRST_ROWS]) and near(part, goal) for part in parts)


def _first_rows(columns: Mapping[str, Column], used: int, rows: int) -> dict[str, Column]:
    return {name: column[:used] if column.ndim and len(column) >= rows else column for name, column in columns.items()}


def _refuse_huge_returns(episodes: Episodes, source: str) -> None:
    """Stop at rewards of which some sum within an episode could not be a float32."""
    largest = float(np.abs(episodes.rewards).max()) * float(episodes.lengths.max())
    if largest < _LARGEST:
        return
    sums = np.add.reduceat(np.abs(episodes.rewards), episodes.offsets[:-1], dtype=np.float64)
    if sums.max() > _LARGEST:
        message = f"{source}: the rewards of an episode add up to {sums.max():.3g}, which no float32 can hold"
        raise SeqrlError(message, "divide all rewards by the same number")


def _chosen(names: ColumnNames, role: str, log: ReadingLog) -> str:
    """The name of the column for a role; columns under other names of the same role are not read."""
    name = names.first(role)
    assert name is not None, "columns_to_read has checked it"
    log.take(name, role)
    return name


def _note_open_question(
    found: FoundEnds, ends: NDArray[np.bool_] | None, names: ColumnNames, options: ReadOptions
) -> None:
    """Record that the meaning of ``dones`` is open, and what this part says about it."""
    log = options.log
    if not found.open_dones:
        return
    log.open_dones = names.dones_name
    if (found.timeouts & ~found.terminals)[:-1].any():
        log.only_terminals = True
    is_whole_episode = options.default_steps is None and not found.terminals[:-1].any()
    if is_whole_episode and not found.terminals[-1]:
        log.unmarked_parts += 1


def _cuts(found: FoundEnds, has_timeouts: bool, options: ReadOptions) -> NDArray[np.bool_]:
    """Rows ``(rows,)`` after which an episode without a mark is cut, because it has no more steps than that."""
    ended = found.terminals | found.timeouts
    if options.max_episode_steps is not None:
        return overlong(ended, options.max_episode_steps)
    limit = None if options.default_steps is None else options.step_limit or options.default_steps
    trusted = has_timeouts and options.step_limit is None
    if limit is None or found.complete or trusted:
        return np.zeros_like(ended)
    cuts = overlong(ended, limit)
    options.log.cut_after = limit
    options.log.cuts += int(cuts.sum())
    return cuts


def _with_resets(
    found: FoundEnds, table: CheckedColumns, name: str, observations: NDArray[np.float32], log: ReadingLog
) -> FoundEnds:
    """The ends and, as timeouts, the unmarked rows after which the recording goes on from another state."""
    size = observations.shape[1] if observations.ndim == 2 else None
    following = table.observations(name, size)
    if following.shape != observations.shape:
        raise SeqrlError(f"{table.source}: {name} is {following.shape}, not {observations.shape}", LAYOUT_HINT)
    reset = jumps(observations.reshape(len(observations), -1), following.reshape(len(following), -1))
    terminals = found.terminals
    if found.open_dones and _marks_first_rows(terminals, reset):
        log.remark("dones marks the first row of an episode")
        terminals = np.append(terminals[1:], False)
    flagged = terminals | found.timeouts
    reset &= ~flagged
    if reset.sum() > np.count_nonzero(~flagged) / 2:
        raise SeqrlError(
            f"{table.source}: {name} differs from the following observation in {reset.sum()} rows",
            f"the rows must be in the order of recording; delete {name} if it is wrong",
        )
    complete = found.complete or bool(reset.any())
    return FoundEnds(terminals, found.timeouts | reset, complete, found.open_dones)


def _marks_first_rows(dones: NDArray[np.bool_], reset: NDArray[np.bool_]) -> bool:
    """Whether every reset is marked one row late, and none where it is."""
    return bool(reset.any()) and not (reset & dones).any() and not (reset[:-1] & ~dones[1:]).any()


def join_episodes(parts: Iterable[tuple[str, Episodes]]) -> Episodes:
    """Join the episodes of several recordings, in order.

    Args:
        parts: the recordings, at least one, each with its name in errors.

    Raises:
        SeqrlError: the sizes of a recording differ from those of the first, or there is none.
    """
    waiting: list[Episodes] = []
    joined: list[Episodes] = []
    first: tuple[str, Episodes] | None = None
    for name, part in parts:
        first = first or (name, part)
        if not first[1].spaces.fits(part.spaces):  # a recording may lack some of the discrete actions
            hint = "join only recordings of the same environment"
            part.spaces.require_fit(name, first[1].spaces, first[0], hint)
        waiting.append(part)
        if len(waiting) == _JOINED_AT_ONCE:
            joined.append(Episodes.concatenate(waiting))
            waiting = []
    joined += waiting
    if not joined:
        raise SeqrlError("no episode has a step", FILE_HINT)
    return joined[0] if len(joined) == 1 else Episodes.concatenate(joined)
