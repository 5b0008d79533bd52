"""Reads the columns that tell where episodes end: flags, row numbers, lengths, numbers of episodes, step counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.column_names import FLAG_ROLES, LAYOUT_HINT, ColumnNames, plain_name
from seqrl_cli.data.formats.doubtful_columns import doubt
from seqrl_cli.data.formats.episode_ends import EndMarks, Flags, before, flags_from_bounds, flags_from_lengths
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError

# What the log calls the meaning of a role.
_MEANINGS = {
    "terminals": "terminals",
    "timeouts": "timeouts",
    "ends": "ends of episodes",
    "starts": "first rows of episodes",
    "resets": "first or last rows of episodes",
    "step_types": "kinds of rows",
    "ids": "numbers of episodes",
    "steps": "steps within episodes",
    "lengths": "lengths of episodes",
}
_LAST, _TIMEOUT = 2, 3
_MOSTLY = 0.5
_DISORDER = 0.25  # the fraction of steps within episodes at which a counter goes back; a few may be repeated frames


@dataclass(frozen=True)
class EndColumns:
    """The columns of one recording that tell where its episodes end.

    Attributes:
        columns: columns by their names in the file.
        names: names of the columns, by what they tell.
        rows: number of rows of the recording.
        source: name of the file in errors.
        log: receives decisions and doubts.
    """

    columns: Mapping[str, h5py.Dataset | NDArray[Any]]
    names: ColumnNames
    rows: int
    source: str
    log: ReadingLog

    def marks(self) -> EndMarks:
        """What the columns say.

        Raises:
            SeqrlError: a column of flags has another shape, or values other than 0 and 1.
        """
        terminals, timeouts, dones = (self._agreed(role) for role in FLAG_ROLES)
        if dones is not None and self._marks_first_rows(dones):
            dones = before(dones)
        known_ends = [flags for flags in (terminals, timeouts, dones) if flags is not None]
        self._refuse_disorder(np.logical_or.reduce(known_ends) if known_ends else None)
        ends = [self._ends(role, name) for role in _MEANINGS for name in self._of(role) if role not in FLAG_ROLES]
        known = [flags for flags in ends if flags is not None]
        marked = reduce(np.logical_or, known) if known else None
        kinds = self._kinds()
        if terminals is None and kinds is not None and (kinds == _TIMEOUT).any():
            terminals = kinds == _LAST
        dones_name = self.names.dones_name
        if terminals is None and dones is None:
            dones = next(
                (zeros for name in self._of("continues")[:1] if (zeros := self._zeros(name)) is not None), None
            )
        else:
            self._check_continues(terminals, timeouts, dones, marked)
        if terminals is None and dones is None:
            self.log.warn("no column tells which ends the environment made, so all of them count as step limits")
        elif dones is not None and terminals is not None:
            self.log.take(dones_name, "ends of episodes")
        elif dones is not None and timeouts is not None and timeouts.any():
            self.log.take(dones_name, "terminals, except at timeouts")
        for name in self.names.doubtful:
            if advice := doubt(self.columns[name], self.rows):
                self.log.warn(f"{name} is not read; {advice}")
        return EndMarks(terminals, timeouts, dones, marked)

    def _marks_first_rows(self, dones: Flags) -> bool:
        """Whether ``dones`` says of a row that the episode before it is done, as CleanRL's buffers do.

        Then the first row is marked and the last is not. Next observations would tell more, and are asked later.
        """
        if self.names.first("next_observations") or not dones[0] or dones[-1] or dones.sum() < 2:
            return False
        self.log.remark(f"{self.names.dones_name} marks the first row of an episode")
        return True

    def _of(self, role: str) -> tuple[str, ...]:
        return self.names.by_role.get(role, ())

    def _agreed(self, role: str) -> Flags | None:
        """The flags of a role: its first column that marks a row; another that says otherwise is warned of."""
        found = {name: self._flags(name) for name in self._of(role)}
        if not found:
            return None
        names = sorted(found, key=lambda name: not found[name].any())
        flags = found[names[0]]
        if role in _MEANINGS:
            self.log.take(names[0], _MEANINGS[role])
        for other in names[1:]:
            differing = int((found[other] != flags).sum()) if found[other].any() else 0
            if differing:
                self.log.warn(f"{names[0]} is used, and not {other}, which differs in {differing:,} rows")
        return flags

    def _flags(self, name: str) -> Flags:
        """A column of 0 and 1; a single number is that of the last row."""
        values = np.atleast_1d(self._per_row(name))
        if values.shape == (1,):
            values = np.append(np.zeros(self.rows - 1, values.dtype), values)
        if values.ndim != 1:
            raise SeqrlError(f"{self.source}: {name} has shape {values.shape}, not one number per row", LAYOUT_HINT)
        if len(values) != self.rows:
            message = f"{name} has {len(values)} rows, but observations has {self.rows}"
            raise SeqrlError(f"{self.source}: {message}", LAYOUT_HINT)
        bad = (values != 0) & (values != 1)
        if bad.any():
            row = int(bad.argmax())
            raise SeqrlError(f"{self.source}: {name} is {values[row]:g} at row {row}, not 0 or 1", LAYOUT_HINT)
        return values.astype(bool)

    def _per_row(self, name: str) -> NDArray[Any]:
        """A column of numbers; a second axis of size 1 is removed.

        Raises:
            SeqrlError: it does not contain numbers.
        """
        column = self.columns[name]
        if column.dtype.kind not in "biuf":
            raise SeqrlError(f"{self.source}: {name} contains {column.dtype}, not numbers", LAYOUT_HINT)
        values = np.asarray(column[()])
        return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values

    def _ends(self, role: str, name: str) -> Flags | None:
        """Last rows by a column of any other role; None if it marks none, with a warning if it is not understood."""
        values = self._plain(name, texts=role == "ids")
        if values is not None and values.ndim == 0:
            return None  # one number for the whole part, such as its episode's
        if values is not None and values.dtype.kind in "SU" and not _are_contiguous(values):
            values = None  # words of rows, and no names of episodes
        if role == "steps" and values is not None:
            values = self._without_overflow(name, values)
        found = _LAST_ROWS[role](values, self.rows) if values is not None and values.ndim == 1 else None
        if found is None:
            self.log.warn(f"{name} is not read, because its values are not {_MEANINGS[role]}")
            return None
        self.log.marks_first_rows |= role in ("starts", "step_types")
        if not found.any() and role not in ("ids", "starts"):
            return None
        is_rlds = not self._of("terminals") or plain_name(self._of("terminals")[0]) == "is_terminal"
        self.log.has_is_last |= role == "ends" and plain_name(name) == "is_last" and is_rlds
        self.log.take(name, _MEANINGS[role])
        return found

    def _without_overflow(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """A step counter that counts on where its type's largest number was too small."""
        if values.shape != (self.rows,) or values.dtype.kind not in "iu" or values.dtype.itemsize > 2:
            return values
        limits = np.iinfo(values.dtype)
        falls = np.append(False, values[1:] < values[:-1])
        overflows = falls & (values == limits.min) & np.append(False, values[:-1] == limits.max)
        restarts = falls & ~overflows
        if not overflows.any():
            return values
        taken = "none of these is taken for an end" if restarts.any() else "these are taken for ends"
        self.log.warn(f"{name} starts again after {limits.max:,}, the largest {values.dtype}; {taken}")
        if not restarts.any():
            return values
        rounds = np.cumsum(overflows)
        rounds -= np.maximum.accumulate(np.where(restarts, rounds, 0))
        return np.asarray(values.astype(np.int64) + (int(limits.max) - int(limits.min) + 1) * rounds)

    def _refuse_disorder(self, ended: Flags | None) -> None:
        """Stop at rows that are interleaved or shuffled, as far as numbers of episodes tell.

        Args:
            ended: rows that other columns mark as ends.

        Raises:
            SeqrlError: episodes come back again and again, or steps go back within episodes.
        """
        name = next(iter(self._of("ids")), None)
        ids = self._plain(name, texts=True) if name else None
        if ids is None or ids.shape != (self.rows,) or self.rows < 2 or (ended is not None and ended.mean() > _MOSTLY):
            return
        if ids.dtype.kind in "SU" and ended is not None and ended.any():
            return  # texts may be words of rows, and something else tells of ends
        found = f"{name} {where}" if (where := _back_to_earlier(ids)) else ""
        for counter in self._of("steps"):
            steps = self._plain(counter, texts=False)
            if not found and steps is not None and steps.shape == ids.shape and (where := _back_within(steps, ids)):
                found = f"{counter} {where}"
        if found:
            hint = "the rows must be in the order of recording: sort them by episode, then by step"
            raise SeqrlError(f"{self.source}: {found}", hint)

    def _plain(self, name: str, *, texts: bool) -> NDArray[Any] | None:
        """A column of finite numbers, or of texts if these will do; None if it is something else."""
        column = self.columns[name]
        if texts and column.dtype.kind in "SU":
            return np.asarray(column[()])
        if texts and h5py.check_string_dtype(column.dtype) is not None:
            return np.asarray(column[()]).astype(np.bytes_)  # as h5py stores texts of any length
        if column.dtype.kind not in "biuf":
            return None
        values = self._per_row(name)
        return values if np.isfinite(values).all() else None

    def _kinds(self) -> NDArray[Any] | None:
        """dm_env's or garage's kinds of rows; None if there are none."""
        names = self._of("step_types")
        values = self._plain(names[0], texts=False) if names else None
        return values if values is not None and values.shape == (self.rows,) else None

    def _zeros(self, name: str) -> Flags | None:
        """The rows in which a column is 0; None if it does not have a number per row."""
        values = self._plain(name, texts=False)
        return np.asarray(values == 0) if values is not None and values.shape == (self.rows,) else None

    def _check_continues(self, *known: Flags | None) -> None:
        """Warn of zeros at rows that no other column marks."""
        marked = reduce(np.logical_or, (flags for flags in known if flags is not None))
        for name in self._of("continues"):
            zeros = self._zeros(name)
            if zeros is not None and (zeros & ~marked).any():
                self.log.warn(f"{name} is not read: it is 0 in rows where no episode ends")


def _are_contiguous(ids: NDArray[Any]) -> bool:
    """Whether each text stands in rows one after the other, and most episodes have several."""
    changes = ids[1:] != ids[:-1] if ids.ndim == 1 else np.ones(1, bool)
    return bool(changes.sum() + 1 == len(np.unique(ids))) and (len(ids) < 2 or bool(changes.mean() <= _MOSTLY))


def _back_to_earlier(ids: NDArray[Any]) -> str:
    """Where an episode comes back, if most rows are of another one than the row before; empty if none does."""
    changes = ids[1:] != ids[:-1]
    if changes.mean() <= _MOSTLY:
        return ""
    rows = np.setdiff1d(np.flatnonzero(changes) + 1, np.unique(ids, return_index=True)[1])
    return f"{ids[rows[0]]!s:.40} comes back at row {rows[0]:,}" if len(rows) else ""


def _back_within(steps: NDArray[Any], ids: NDArray[Any]) -> str:
    """Where a counter goes back within an episode, if it often does; empty if not, or if it counts down."""
    same = ids[1:] == ids[:-1]
    falls = (steps[1:] < steps[:-1]) & same
    rises = (steps[1:] > steps[:-1]) & same
    if steps.dtype.kind not in "iu" or falls.sum() <= _DISORDER * same.sum() or not rises.any():
        return ""
    if len(set(zip(ids.tolist(), steps.tolist(), strict=True))) < len(steps):
        return ""  # a number comes twice in an episode, so it counts something else
    row = int(falls.argmax()) + 1
    return f"goes back from {steps[row - 1]} to {steps[row]} at row {row:,}"


def _from_ends(values: NDArray[Any], rows: int) -> Flags | None:
    if len(values) == rows:
        return values.astype(bool) if np.isin(values, (0, 1)).all() else None
    return flags_from_bounds(values, rows, first=False)


def _from_starts(values: NDArray[Any], rows: int) -> Flags | None:
    if len(values) == rows and np.isin(values, (0, 1)).all():
        return before(values.astype(bool)) if values.any() else None
    return flags_from_bounds(values, rows, first=True)


def _from_resets(values: NDArray[Any], rows: int) -> Flags | None:
    """Marks in the first row are first rows, marks in the last row are last rows; with both or none it is open."""
    if len(values) != rows or not np.isin(values, (0, 1)).all() or bool(values[0]) == bool(values[-1]):
        return None
    return _from_starts(values, rows) if values[0] else _from_ends(values, rows)


def _from_step_types(values: NDArray[Any], rows: int) -> Flags | None:
    if len(values) != rows or not np.isin(values, range(4)).all():
        return None
    return np.asarray((values >= _LAST) | before(values == 0))


def _from_ids(values: NDArray[Any], rows: int) -> Flags | None:
    if len(values) != rows:
        return None
    return np.append(values[1:] != values[:-1], False)


def _from_steps(values: NDArray[Any], rows: int) -> Flags | None:
    if len(values) != rows:
        return None
    if rows > 1 and (values[1:] <= values[:-1]).mean() >= _MOSTLY:
        return None  # rows of several episodes take turns, or it is no counter
    # Equal numbers are a restart at the first number only; elsewhere they are rounded, or steps without a frame.
    again = (values[1:] < values[:-1]) | ((values[1:] == values[:-1]) & (values[1:] == values.min()))
    return np.append(again, False)


_LAST_ROWS: dict[str, Callable[[NDArray[Any], int], Flags | None]] = {
    "ends": _from_ends,
    "starts": _from_starts,
    "resets": _from_resets,
    "step_types": _from_step_types,
    "ids": _from_ids,
    "steps": _from_steps,
    "lengths": flags_from_lengths,
}
