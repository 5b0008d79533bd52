"""What a column that is not read may tell of the ends of episodes, by its values."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.episode_ends import flags_from_bounds, flags_from_lengths

_RARE = 0.25  # the fraction of rows in which a clock may start again


def doubt(column: h5py.Dataset | NDArray[Any], rows: int) -> str | None:
    """What to do if a column whose name suggests ends has them; None if its values cannot.

    Args:
        column: the column, of any shape and type.
        rows: number of rows of the recording.
    """
    is_number = column.dtype.kind in "biuf"
    values = np.asarray(column[()]) if is_number and column.ndim in (1, 2) and column.shape[1:] in ((), (1,)) else None
    if values is not None and values.ndim == 1 and len(values) > 1 and np.isfinite(values).all():
        if flags_from_bounds(values, rows, first=False) is not None:
            return "if it has the last rows of episodes, rename it to episode_ends"
        if len(values) != rows and flags_from_lengths(values, rows) is not None:
            return "if it has the lengths of episodes, rename it to episode_lengths"
    if _has_ranges(column, rows):
        return "if it has rows of episodes, save their last rows as episode_ends"
    if column.shape not in ((rows,), (rows, 1)) or rows < 2:
        return None
    if values is not None:
        flat = values.reshape(-1)
        if _is_restarted_clock(flat):
            return "if it starts again with each episode, rename it to steps"
        if (flat == flat[0]).all() or (flat != np.round(flat)).any():
            return None
    return "if it marks ends of episodes, rename it to terminals or timeouts"


def _has_ranges(column: h5py.Dataset | NDArray[Any], rows: int) -> bool:
    """Whether a column has the first row of each episode and the row after its last, ``(episodes, 2)``."""
    if column.ndim != 2 or column.shape[1] != 2 or len(column) < 2 or column.dtype.kind not in "iu":
        return False
    first, after = np.asarray(column[()]).T
    return bool(first[0] == 0 and after[-1] in (rows, rows - 1) and np.isin(first[1:] - after[:-1], (0, 1)).all())


def _is_restarted_clock(values: NDArray[Any]) -> bool:
    """Whether numbers rise from row to row, and fall back to the first one a few times."""
    falls = values[1:] < values[:-1]
    is_clock = values.dtype.kind == "f" and bool((values[1:] > values[:-1])[~falls].all())
    return is_clock and 0 < falls.sum() <= _RARE * len(values) and bool((values[1:][falls] <= values[0]).any())
