"""Columns of untrusted files, each checked when it is read: observations, actions and numbers per row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.column_names import IMAGE_HINT, LAYOUT_HINT
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.data.space import has_colours_first
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.mapped import Mapper, release, row_ranges

FILE_HINT = "download or collect the dataset again, or give the path of another file"
_REPAIR_HINT = "remove or repair those rows in the file"
_SCALE_HINT = "divide the column by a number, or remove those rows"
_CHOICE_HINT = "discrete actions are numbered from 0; store continuous ones as floating-point numbers"
_CODE_HINT = "number the choices from 0, or store actions that are not choices as floating-point numbers"
_MAX_CHOICES = 2**16

# Numbers of at least _LARGE that differ by less than so many of float32's steps are taken for clocks or coordinates.
_LARGE, _MIN_STEPS = 2.0**16, 256

Column: TypeAlias = h5py.Dataset | NDArray[Any]


@dataclass(frozen=True)
class CheckedColumns:
    """Columns by name, each checked when it is read.

    Attributes:
        columns: columns by name.
        source: name of their file in errors.
        finite: refuse NaN and infinity.
        mapper: maps observations and actions, which then stay on the disk; None reads them into memory.
        log: receives warnings.
    """

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
        return np.ascontiguousarray(np.moveaxis(images, 1, 3)) if has_colours_first(column.shape[1:]) else images

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
        if column.ndim == 1 and column.dtype.kind not in "iu":
            message = f"{self.source}: {name} has one number of type {column.dtype} per row"
            raise SeqrlError(message, f"{name}[:, None] is a continuous action, {name}.astype(int) are choices from 0")
        if column.shape[1:] != (1,) and (column.ndim != 1 or column.dtype.kind not in "iu"):
            vectors = self.vectors(name)
            if _is_one_hot(vectors):
                count = vectors.shape[1]
                self.log.warn(f"all rows of {name} are 1 in one of {count} places; if they are choices, save argmax(1)")
            return vectors
        if column.dtype.kind not in "iu":
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


def _is_one_hot(vectors: NDArray[np.float32]) -> bool:
    """Whether each vector is 1 in one place and 0 elsewhere, and several places occur."""
    if vectors.shape[1] < 2 or not len(vectors) or not np.isin(vectors[:1000], (0, 1)).all():
        return False
    counts = np.count_nonzero(vectors, axis=1)
    return bool((counts == 1).all() and np.isin(vectors, (0, 1)).all() and np.count_nonzero(vectors.any(axis=0)) > 1)


def _as_float32(column: Column) -> Any:
    """A view that reads as float32; numbers beyond its range become infinite, which is checked later."""
    if isinstance(column, h5py.Dataset):
        return column.astype(np.float32)
    with np.errstate(over="ignore"):
        return column.astype(np.float32)
