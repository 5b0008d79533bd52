"""HDF5 files from untrusted sources: opened, or refused with one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from seqrl_cli.errors import SeqrlError

Scalar = str | int | float | bool

# h5py raises any of these for damage, depending on its place in the file.
_H5PY_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError)


@contextmanager
def open_hdf5(path: Path, hint: str) -> Iterator[h5py.File]:
    """Open a file for reading; errors while it is read become a SeqrlError that names the file.

    Args:
        path: the file.
        hint: what the user can do if the file is missing or damaged.

    Raises:
        SeqrlError: the file is missing, not HDF5, truncated, damaged or not readable.
    """
    if not path.is_file():
        raise SeqrlError(f"there is no file {path}", hint)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except _H5PY_ERRORS as error:
        raise SeqrlError(f"cannot read {path}: {_reason(path, error)}", hint) from error


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, BlockingIOError):
        return "another program is writing it"
    if "truncated" in str(error):  # HDF5 has no other sign of it
        return "the file is truncated"
    if not h5py.is_hdf5(path):
        return "it is not an HDF5 file"
    return f"the file is damaged ({error.args[-1]})"


def read_numbers(file: h5py.File, name: str, axes: int, hint: str) -> np.ndarray:
    """Read one array of the file as float64.

    Args:
        file: the file, from :func:`open_hdf5`.
        name: name of the array.
        axes: number of axes it must have.
        hint: what the user can do if it does not.

    Raises:
        SeqrlError: it is missing, has other axes, or does not contain numbers.
    """
    stored = file.get(name)
    if not isinstance(stored, h5py.Dataset):
        raise SeqrlError(f"{file.filename} has no {name}", hint)
    if stored.ndim != axes or stored.dtype.kind not in "fiu":
        raise SeqrlError(f"{name} in {file.filename} has shape {stored.shape}, not {axes} axes of numbers", hint)
    return np.asarray(stored[...], dtype=np.float64)


def write_array(group: h5py.Group, name: str, array: np.ndarray) -> None:
    """Store an array without timestamps, so that equal data gives equal bytes."""
    group.create_dataset(name, data=array, track_times=False)


def write_attributes(file: h5py.File, attributes: Mapping[str, Scalar | None]) -> None:
    """Store scalars and strings as attributes of the file; None is left out."""
    for name in sorted(attributes):
        value = attributes[name]
        if value is not None:
            file.attrs[name] = value


def native_attributes(file: h5py.File) -> dict[str, Scalar]:
    """The file's scalar and string attributes as plain Python values; others are left out."""
    found: dict[str, Scalar] = {}
    for name, value in file.attrs.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, str):
            plain = plain.encode("utf-8", errors="surrogateescape")
        if isinstance(plain, bytes):
            plain = plain.decode("utf-8", errors="replace")
        if isinstance(plain, (str, int, float, bool)):
            found[name] = plain
    return found
