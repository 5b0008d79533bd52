"""Rows of padding at the end of an episode: all alike, after its last step.

Its length tells where they begin, or a mark of its end that stays set, or a mask of 0 and 1 that stays 0; or its last
observation is repeated after a mark of its end. A column that marks padding by its name is believed, whatever the rows
contain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.column_names import FLAG_ROLES, ColumnNames


def rows_before_padding(
    columns: Mapping[str, h5py.Dataset | NDArray[Any]], names: ColumnNames, data: Sequence[NDArray[Any]]
) -> int:
    """How many rows of an episode are no padding.

    Args:
        columns: columns of the episode, some of which may tell.
        names: names of the columns, by what they tell.
        data: observations, actions and rewards of the episode, of equally many rows. An episode with an observation
            after its last action gives those that follow an action.
    """
    rows = len(data[0])
    for role in ("lengths", "padding", *FLAG_ROLES, "continues"):
        for name in names.by_role.get(role, ()):
            values = _numbers(columns[name])
            if role == "lengths":
                kept = int(values[0]) if len(values) == 1 and values[0] in range(1, rows) else rows
                if kept == rows - 1 and any(part[kept].any() for part in data):
                    continue  # it counts something else, such as the steps between rows
            elif len(values) != rows:
                continue
            elif role == "padding":
                if (kept := _trail(values != 0)) < rows:
                    return kept
                continue
            elif role == "continues":
                kept = _before_zeros(values, data)
            else:
                kept = min(_trail(values != 0) + 1, rows)
            if kept < rows and all((part[kept + 1 :] == part[kept]).all() for part in data):
                return kept
    return _before_copies(columns, names, data)


def _before_copies(
    columns: Mapping[str, h5py.Dataset | NDArray[Any]], names: ColumnNames, data: Sequence[NDArray[Any]]
) -> int:
    """The rows up to the only mark of an end, if all behind repeat its observation with one action and one reward."""
    observations, *others = data
    flags = (_numbers(columns[name]) for role in FLAG_ROLES for name in names.by_role.get(role, ()))
    marked = {int(row) for values in flags for row in np.flatnonzero(values)}
    kept = marked.pop() + 1 if len(marked) == 1 else len(observations)
    are_copies = kept < len(observations) and (observations[kept:] == observations[kept - 1]).all()
    return kept if are_copies and all((part[kept:] == part[kept]).all() for part in others) else len(observations)


def _numbers(column: h5py.Dataset | NDArray[Any]) -> NDArray[Any]:
    """A column of numbers in one dimension; empty if it has others."""
    is_small = column.dtype.kind in "biuf" and column.shape is not None and column.ndim <= 2
    return np.asarray(column[()]).reshape(-1) if is_small and column.shape[1:] in ((), (1,)) else np.empty(0)


def _trail(marked: NDArray[np.bool_]) -> int:
    """The row from which marks stay to the end; as many as there are rows if they do not, or if all are marked."""
    first = int(marked.argmax()) if marked.any() else len(marked)
    return first if first and marked[first:].all() else len(marked)


def _before_zeros(mask: NDArray[Any], data: Sequence[NDArray[Any]]) -> int:
    """The rows before a mask's last zeros, and the first of these, if it is unlike what follows.

    A mask that is 0 in padding differs from one that is 0 from the last step on, which is no padding.
    """
    rows = len(mask)
    first = _trail(mask == 0)
    if first == rows:
        return rows
    is_zero = not any(part[first].any() for part in data)
    is_alike = first + 1 < rows and all((part[first] == part[first + 1]).all() for part in data)
    return first if is_zero or is_alike else first + 1
