"""HDF5 files: those of untrusted sources are opened or refused in a sentence; ours are written without libhdf5's help.

A file from elsewhere can take its arrays from other files of whoever reads it: by external storage, by a link to
another file, by a virtual dataset. Only arrays that are in the file itself are read here, by whatever name they are
asked for; links within the file are followed.

libhdf5 may crash the process when a write fails, because the disk is full or a network drive is gone. So it writes to
memory, and Python writes the bytes to the disk. That takes as much memory again as the file has bytes.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import atomic_path, error_number
from seqrl_cli.files.regular import NotRegularError, check_regular, check_size

Scalar = str | int | float | bool

# h5py raises any of these for damage, depending on its place in the file.
_H5PY_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError)
_OF_A_WRITER = (errno.EAGAIN, errno.EACCES)
_MAX_HOPS = 8
_ELSEWHERE_HINT = "copy the arrays themselves into one file, for example with h5repack or h5py"


class _Inside:
    """Part of a file, in which every name leads to something in the file itself."""

    def __getitem__(self, name: Any) -> Any:
        return _inside(super().__getitem__(self._hard_path(name) or name))  # type: ignore[misc]

    def get(self, name: Any, default: Any = None, *arguments: Any, **options: Any) -> Any:
        path = self._hard_path(name)
        if path is None:
            return default
        found = super().get(path, default, *arguments, **options)  # type: ignore[misc]
        return _inside(found) if isinstance(found, h5py.HLObject) else found

    def __contains__(self, name: Any) -> bool:
        """Whether there is something of this name; a link that is not followed counts."""
        try:
            return self._hard_path(name) is not None
        except SeqrlError:
            return True

    def _hard_path(self, name: Any) -> Any:
        """The path in the file, without links, of what a name leads to; None if there is nothing.

        Anything but text, such as a reference, is returned as it is: it can only refer to the file itself.

        Raises:
            SeqrlError: a link on the way leads out of the file, to nothing, or to ever more links.
        """
        if not isinstance(name, str):
            return name
        own: str | None = self.name  # type: ignore[attr-defined]
        if own is None:
            raise self._refused(name, "in a group that has no path")
        if self._is_own(name):
            return f"{own.rstrip('/')}/{name}"
        links = self.file.id.links  # type: ignore[attr-defined]
        done = [] if name.startswith("/") else _parts(own)
        waiting, hops = _parts(name), 0
        while waiting:
            path = "/".join([*done, waiting[0]]).encode("utf-8", "surrogateescape")
            if not self._is_group(done) or not links.exists(path):
                if hops:
                    raise self._refused(name, "a link that leads nowhere")
                return None
            kind = links.get_info(path).type
            if kind == h5py.h5l.TYPE_HARD:
                done.append(waiting.pop(0))
                continue
            hops += 1
            if kind != h5py.h5l.TYPE_SOFT:
                raise self._refused(name, "a link to another file, and such links are not followed")
            if hops > _MAX_HOPS:
                raise self._refused(name, f"more than {_MAX_HOPS} links in a row")
            target = links.get_val(path).decode("utf-8", "surrogateescape")
            done = [] if target.startswith("/") else done
            waiting[:1] = _parts(target)
        return f"/{'/'.join(done)}"

    def _is_own(self, name: str) -> bool:
        """Whether a name leads to something in this group itself without a link, as nearly all names do."""
        key, links = name.encode("utf-8", "surrogateescape"), self.id.links  # type: ignore[attr-defined]
        if "/" in name or name in ("", ".") or not links.exists(key):
            return False
        return bool(links.get_info(key).type == h5py.h5l.TYPE_HARD)

    def _is_group(self, parts: list[str]) -> bool:
        """Whether a path without links, which exists, leads to a group."""
        if not parts:
            return True
        path = "/".join(parts).encode("utf-8", "surrogateescape")
        return bool(h5py.h5o.get_info(self.file.id, path).type == h5py.h5o.TYPE_GROUP)  # type: ignore[attr-defined]

    def _refused(self, name: str, what: str) -> SeqrlError:
        file = self.file.filename  # type: ignore[attr-defined]
        return SeqrlError(f"{file}: {name} is {what}", _ELSEWHERE_HINT)


class _InsideFile(_Inside, h5py.File):  # type: ignore[misc]
    pass


class _InsideGroup(_Inside, h5py.Group):  # type: ignore[misc]
    pass


def _parts(path: str) -> list[str]:
    """``/obs//robot`` → ``obs``, ``robot``."""
    return [part for part in path.split("/") if part not in ("", ".")]


def _inside(found: Any) -> Any:
    """A group whose names lead inside, or an array whose numbers are in the file."""
    if isinstance(found, h5py.Group):
        return _InsideGroup(found.id)
    if isinstance(found, h5py.Dataset) and found.shape is None:  # HDF5's null dataspace, of which h5py can do little
        raise SeqrlError(f"{found.file.filename}: {found.name.lstrip('/')} is empty", "store an array, or leave it out")
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        what = f"{found.file.filename}: {found.name} takes its numbers from other files, which are not read"
        raise SeqrlError(what, _ELSEWHERE_HINT)
    return found


@contextmanager
def open_hdf5(path: Path, hint: str) -> Iterator[h5py.File]:
    """Open a file for reading; errors while it is read become a SeqrlError that names the file.

    Args:
        path: the file.
        hint: advice on what the user can do if the file is missing or damaged.

    Raises:
        SeqrlError: the file is missing, not HDF5, truncated, damaged or not readable, or takes from other files what
            the block asks for.
    """
    try:
        check_regular(path)
        with _open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", hint) from error
    except _H5PY_ERRORS as error:
        raise SeqrlError(f"cannot read {path}: {_reason(path, error)}", hint) from error


def _open(path: Path) -> h5py.File:
    """The open file; without a lock on a file system that has none."""
    try:
        return _InsideFile(path, "r")
    except OSError as error:
        if not _is_about_locks(error) or error_number(error) in _OF_A_WRITER:
            raise
    return _InsideFile(path, "r", locking=False)


def _is_about_locks(error: Exception) -> bool:
    """Whether HDF5 could not lock a file; its message also has the file's name, in which anything may stand."""
    return "unable to lock file" in str(error)


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, NotRegularError):
        return str(error.strerror)
    if isinstance(error, OSError) and _is_about_locks(error) and error_number(error) in _OF_A_WRITER:
        return "another program is writing it"
    if isinstance(error, PermissionError):
        return "permission denied"
    if path.stat().st_size == 0:
        return "the file is empty"
    if "truncated" in str(error):  # HDF5 has no other sign of it
        return "the file is truncated"
    if not h5py.is_hdf5(path):
        return "it is not an HDF5 file"
    return f"the file is damaged ({error.args[-1]})"


@contextmanager
def write_hdf5(path: Path, *, track_order: bool = False) -> Iterator[h5py.File]:
    """Write a file completely or not at all; what is stored equally in the block gives equal bytes.

    Args:
        path: the file to create or replace.
        track_order: whether groups and attributes remember the order in which their members were made.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    content = io.BytesIO()
    with atomic_path(path) as temporary:
        with h5py.File(content, "w", track_order=track_order) as file:
            yield file
        temporary.write_bytes(content.getbuffer())


def read_all(stored: h5py.Dataset) -> np.ndarray:
    """All of an array, unless the file cannot contain as much as the array claims.

    Raises:
        SeqrlError: its shape claims more than a hundred times the bytes of the file.
    """
    path = Path(stored.file.filename)
    check_size(stored.nbytes, path.stat().st_size, f"{stored.name.lstrip('/')} in {path}")
    return np.asarray(stored[()])


def read_numbers(file: h5py.File, name: str, axes: int, hint: str) -> np.ndarray:
    """Read one array of the file as float64.

    Args:
        file: the file, from :func:`open_hdf5`.
        name: name of the array.
        axes: number of axes it must have.
        hint: advice on what the user can do if it does not.

    Raises:
        SeqrlError: it is missing, has other axes, does not contain numbers, or claims more than the file contains.
    """
    stored = file.get(name)
    if not isinstance(stored, h5py.Dataset):
        raise SeqrlError(f"{file.filename} has no {name}", hint)
    if stored.ndim != axes or stored.dtype.kind not in "fiu":
        raise SeqrlError(f"{name} in {file.filename} has shape {stored.shape}, not {axes} axes of numbers", hint)
    return read_all(stored).astype(np.float64)


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
    """The file's scalar and string attributes as plain Python values; others are left out.

    An array of one value counts as that value: MATLAB and others write no scalars.
    """
    found: dict[str, Scalar] = {}
    for name, value in file.attrs.items():
        is_single = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1)
        plain = value.item() if is_single else value
        if isinstance(plain, str):
            plain = plain.encode("utf-8", errors="surrogateescape")
        if isinstance(plain, bytes):
            plain = plain.decode("utf-8", errors="replace")
        if isinstance(plain, (str, int, float, bool)):
            found[name] = plain
    return found
