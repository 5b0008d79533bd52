"""Flat arrays from untrusted files, checked and split into episodes.

HDF5 files, ``.npz`` archives and pickled episodes contain columns of equal length. What they are called, and what they
are then taken for, is in :mod:`~seqrl_cli.data.formats.column_names`; where episodes end, in
:mod:`~seqrl_cli.data.formats.episode_ends`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.column_names import IMAGE_HINT, LAYOUT_HINT, ColumnNames
from seqrl_cli.data.formats.end_columns import EndColumns
from seqrl_cli.data.formats.episode_ends import DonesMeaning, FoundEnds, combine, jumps, overlong
from seqrl_cli.data.formats.padding import rows_before_padding
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.data.formats.used_rows import used_rows
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.mapped import Mapper, release, row_ranges
from seqrl_cli.files.regular import check_size as check_size

DEFAULT_EPISODE_STEPS = 1000

_MAX_PLANES = 12  # four frames of three colours
_JOINED_AT_ONCE = 1000  # recordings; each takes more memory alone than its rows do

FILE_HINT = "download or collect the dataset again, or give the path of another file"
NO_STEP = "episodes without a step were left out"
PADDING = "left out padding at the ends of episodes"
_REPAIR_HINT = "remove or repair those rows in the file"
_SCALE_HINT = "divide the column by a number, or remove those rows"
_LARGEST = float(np.finfo(np.float32).max)
_CHOICE_HINT = "discrete actions are numbered from 0"
_CODE_HINT = "number the choices from 0, or store actions that are not choices as floating-point numbers"
_MAX_CHOICES = 2**16

# Numbers of at least _LARGE that differ by less than so many of float32's steps are taken for clocks or coordinates.
_LARGE, _MIN_STEPS = 2.0**16, 256


Column: TypeAlias = h5py.Dataset | NDArray[Any]


@dataclass(frozen=True)
class ReadOptions:
    """How to turn columns into episodes.

    Attributes:
        observation_slice: number of leading observation dimensions to keep; None keeps all.
        max_episode_steps: longest possible episode, after which every one is cut; None trusts the marks of ends.
        default_steps: length of an episode if nothing marks ends but terminals; None = the recording is one episode.
        finite: refuse NaN and infinity, and questions that only the user can answer; False for inspecting a file.
        step_limit: the step limit of the environment, which replaces ``default_steps``; None if unknown.
        dones: what ``dones`` marks; None leaves it to the data.
        reset_rows: whether the first row of every episode is its reset; None leaves it to the data.
        skip_damaged: leave out the files of a folder that cannot be read, and warn of them; otherwise they are errors.
        mapper: maps observations and actions, which then stay on the disk; None reads them into memory.
        log: where the decisions are recorded.
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
        options: how to read them.

    Raises:
        SeqrlError: a column has the wrong shape or values, or there are no rows.
    """
    names = ColumnNames.of(columns)
    table = _Table(columns, source, options.finite, options.mapper, options.log)
    observations = table.observations(_chosen(names, "observations", options.log), options.observation_slice)
    if not len(observations):
        raise SeqrlError(f"{source} contains no transitions", FILE_HINT)
    actions = table.actions(_chosen(names, "actions", options.log))
    rewards = table.scalars(_chosen(names, "rewards", options.log))
    if len(actions) == len(rewards) == len(observations) - 1:
        observations = observations[:-1]  # the one after the last action
    rows = len(observations)
    for role, column in (("actions", actions), ("rewards", rewards)):
        if len(column) != rows:
            name = names.first(role)
            raise SeqrlError(f"{source}: {name} has {len(column)} rows, but observations has {rows}", LAYOUT_HINT)
    data = (observations, actions, rewards)
    is_episode = options.default_steps is None
    kept = used_rows(columns, names, data, options.log)
    if kept == rows and is_episode and (kept := rows_before_padding(columns, names, data)) < rows:
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
    episodes = Episodes.from_flags(observations, actions, rewards, found.terminals, timeouts)
    if options.finite:
        _refuse_huge_returns(episodes, source)
    return episodes


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
    found: FoundEnds, table: _Table, name: str, observations: NDArray[np.float32], log: ReadingLog
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
        parts: at least one recording, with its name in errors.

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


@dataclass(frozen=True)
class _Table:
    """Columns by name, each checked when it is read."""

    columns: Mapping[str, Column]
    source: str
    finite: bool
    mapper: Mapper | None
    log: ReadingLog

    def observations(self, name: str, size: int | None) -> NDArray[Any]:
        """Vectors ``(n, size)``, or images ``(n, height, width[, channels])`` uint8.

        Colours may come before rows and columns, as PyTorch wants them; one that stands there alone stays. Whole
        numbers ``(n,)`` are states, see :mod:`~seqrl_cli.data.states`.
        """
        column = self._numbers(name)
        if column.ndim == 1 and column.dtype.kind in "iu":
            return np.asarray(column[:], np.int64)
        is_image = column.dtype == np.uint8 and column.ndim in (3, 4) and 0 not in column.shape[1:]
        if not is_image:
            return self.vectors(name, size)
        images = self._read(column, np.uint8)
        return np.ascontiguousarray(np.moveaxis(images, 1, 3)) if _has_colours_first(column.shape) else images

    def vectors(self, name: str, size: int | None = None) -> NDArray[np.float32]:
        """An array ``(n, size)``, converted while it is read, so that float64 data is never entirely in memory."""
        column = self._numbers(name)
        if column.ndim != 2 or column.shape[1] == 0:
            usual = {1: f"if each row has one number, save {name}[:, None]", 2: LAYOUT_HINT}
            hint = usual.get(column.ndim, IMAGE_HINT)
            raise SeqrlError(f"{self.source}: {name} has shape {column.shape}, not one vector per row", hint)
        if size is not None and size > column.shape[1]:
            raise SeqrlError(f"{self.source}: {name} has {column.shape[1]} columns, not {size} or more", FILE_HINT)
        values = self._finite(self._read(column, np.float32, size), name)
        self._warn_of_lost_digits(values, name)
        return values

    def actions(self, name: str) -> NDArray[Any]:
        """Vectors ``(n, size)``, or discrete choices ``(n,)``, possibly stored as ``(n, 1)``: whole numbers from 0."""
        column = self._numbers(name)
        if (column.ndim != 1 and column.shape[1:] != (1,)) or column.dtype.kind not in "iu":
            return self.vectors(name)
        choices = self._read(column, np.int64).reshape(-1)
        if (choices < 0).any():
            row = int((choices < 0).argmax())
            raise SeqrlError(f"{self.source}: {name} contains the choice {choices[row]} at row {row}", _CHOICE_HINT)
        if len(choices) and choices.max() >= _MAX_CHOICES:
            known = len(np.unique(choices))
            message = f"{self.source}: {name} has whole numbers up to {choices.max():,}, of which {known:,} differ"
            raise SeqrlError(message, _CODE_HINT)
        return choices

    def scalars(self, name: str) -> NDArray[np.float32]:
        """An array ``(n,)``, possibly stored as ``(n, 1)``."""
        column = self._numbers(name)
        if column.ndim != 1 and column.shape[1:] != (1,):
            raise SeqrlError(f"{self.source}: {name} has shape {column.shape}, not one number per row", LAYOUT_HINT)
        return self._finite(_as_float32(column)[:].reshape(len(column)), name)

    def _read(self, column: Column, dtype: type[Any], size: int | None = None) -> NDArray[Any]:
        """The column in memory or mapped, as another type; numbers beyond its range become infinite."""
        if self.mapper is not None and isinstance(column, h5py.Dataset) and column.size:
            return self.mapper.array(column, np.dtype(dtype), size)
        rows = slice(None) if size is None else (slice(None), slice(size))
        if dtype is np.float32:
            return np.asarray(_as_float32(column)[rows])
        return np.asarray(column[rows], dtype)

    def _numbers(self, name: str) -> Column:
        column = self.columns[name]
        if column.dtype.kind not in "biuf":
            raise SeqrlError(f"{self.source}: {name} contains {column.dtype}, not numbers", LAYOUT_HINT)
        return column

    def _finite(self, values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """The values, all finite unless the options allow others."""
        for start, stop in row_ranges(values) if self.finite else ():
            bad = ~np.isfinite(values[start:stop])
            if bad.any():
                place = np.unravel_index(int(bad.argmax()) + start * (bad.size // len(bad)), values.shape)
                where = f"row {place[0]}" + (f", column {place[1]}" if values.ndim == 2 else "")
                stored = np.asarray(self.columns[name][place[0]]).reshape(-1)[place[1] if values.ndim == 2 else 0]
                if np.isfinite(stored):
                    message = f"{self.source}: {name} is {stored:g} at {where}, which no float32 can hold"
                    raise SeqrlError(message, _SCALE_HINT)
                raise SeqrlError(f"{self.source}: {name} is {values[place]} at {where}", _REPAIR_HINT)
            release(values)
        return values

    def _warn_of_lost_digits(self, values: NDArray[np.float32], name: str) -> None:
        """Warn of large numbers so close to each other that float32 has few steps between them, or none."""
        stored = self.columns[name]
        exact = 4 if stored.dtype.kind == "f" else 2  # bytes of numbers of which float32 loses no digit
        if not self.finite or not len(values) or stored.dtype.itemsize <= exact:
            return
        low, high = np.full(values.shape[1], np.inf), np.full(values.shape[1], -np.inf)
        for start, stop in row_ranges(values):
            low = np.minimum(low, values[start:stop].min(axis=0))
            high = np.maximum(high, values[start:stop].max(axis=0))
            release(values)
        largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float32)
        close = (largest >= _LARGE) & (high - low < _MIN_STEPS * np.spacing(largest))
        for index in np.flatnonzero(close):
            if (values[:, index].astype(np.float64) != stored[:, index]).any():
                what = f"column {index} of {name} has large numbers that differ by less than float32 can tell"
                self.log.warn(f"{what}; subtract its mean before")


def _has_colours_first(shape: tuple[int, ...]) -> bool:
    """Whether images of a shape (n, …) have a few planes before rows and columns."""
    return len(shape) == 4 and 1 < shape[1] <= _MAX_PLANES < min(shape[2:])


def _as_float32(column: Column) -> Any:
    """A view that reads as float32; numbers beyond its range become infinite, which is checked later."""
    if isinstance(column, h5py.Dataset):
        return column.astype(np.float32)
    with np.errstate(over="ignore"):
        return column.astype(np.float32)
