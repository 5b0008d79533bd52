"""Rows of a preallocated buffer that nothing was written to.

Such rows are zeros in every column, at the end. A number beside the columns, such as ``size`` or ``ptr``, tells how
many rows before them were written. Without one they are kept, with a warning, because data may end in zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.column_names import FLAG_ROLES, ColumnNames, plain_name
from seqrl_cli.data.formats.reading_log import ReadingLog

_BLOCK = 4096  # rows looked at together
_COUNTS = ("size", "buffer_size", "num_transitions", "n_transitions")  # not where a ring goes on
_MIN_ZEROS = 10  # rows of zeros that are worth a warning


def used_rows(
    columns: Mapping[str, h5py.Dataset | NDArray[Any]],
    names: ColumnNames,
    written: Sequence[NDArray[Any]],
    log: ReadingLog,
) -> int:
    """How many rows are data.

    Args:
        columns: columns of the file, one of which may state the number.
        names: names of the columns, by what they tell.
        written: observations, actions and rewards, of equally many rows.
        log: receives what was left out, or a warning.
    """
    rows = len(written[0])
    marks = [columns[name] for role in FLAG_ROLES for name in names.by_role.get(role, ())]
    zeros = zero_rows_at_end([*written, *(mark for mark in marks if mark.shape[:1] == (rows,))])
    if zeros == rows:
        return rows
    is_buffer = len(names.by_role.get("used", ())) > 1  # with its size and where it goes on
    for name in names.by_role.get("used", ()):
        column = columns[name]
        value = np.asarray(column[()]).reshape(-1) if column.size == 1 and column.dtype.kind in "iuf" else np.empty(0)
        if len(value) and rows - zeros <= value[0] < rows and value[0] == int(value[0]):
            log.remark(f"left out {rows - int(value[0]):,} rows after {name} = {int(value[0]):,}, which are zeros")
            return int(value[0])
        if len(value) and rows / 2 < value[0] < rows and plain_name(name) in _COUNTS and is_buffer:
            beyond = f"{name} is {value[0]:g}, but the rows after it are not zeros, and are read"
            log.warn(f"{beyond}; if they are left from before, remove them")
            return rows
    if zeros >= _MIN_ZEROS:
        log.warn("a recording ends in rows that are all zeros; if nothing was recorded in them, remove them")
    return rows


def zero_rows_at_end(columns: Sequence[h5py.Dataset | NDArray[Any]]) -> int:
    """At how many rows ``(rows, …)`` at the end all columns are zero."""
    rows = stop = len(columns[0])
    while stop:
        start = max(0, stop - _BLOCK)
        blocks = [np.asarray(column[start:stop]).reshape(stop - start, -1) for column in columns]
        written = np.flatnonzero(np.any([block.any(axis=1) for block in blocks], axis=0))
        if len(written):
            return int(rows - start - written[-1] - 1)
        stop = start
    return rows
