"""Arrays of HDF5 files that stay on the disk: mapped where they lie, and read as they are indexed.

An array that is stored contiguously, uncompressed and in the wanted type is mapped in its file. Any other is written
once to a nameless temporary file beside it, which the system deletes with the last use, and mapped there. All arrays
of one file share a mapping, so a dataset takes one file descriptor.

The system keeps the pages that were read, and counts them as the process's memory until :func:`release` gives them
back; a page that is needed again then comes from the system's cache of files, if it is still there.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.errors import SeqrlError

BLOCK_BYTES = 8 * 2**20
_PAGE = mmap.ALLOCATIONGRANULARITY
_CHECKS_WITHOUT_COUNT = 16  # reads after which pages are given back where nobody counts them


class Mapper:
    """Maps the arrays of one HDF5 file.

    The file must not be changed in place while its arrays are in use; replacing it by another does no harm.
    """

    def __init__(self) -> None:
        self._bytes: mmap.mmap | None = None

    def array(self, stored: h5py.Dataset, dtype: np.dtype[Any], width: int | None = None) -> NDArray[Any]:
        """A read-only view of an array on the disk.

        Args:
            stored: the array, not empty.
            dtype: the wanted type.
            width: number of leading numbers of each row to keep; None keeps all.

        Returns:
            The array with the rows of ``stored``; equal to ``stored[:].astype(dtype)[:, :width]``.

        Raises:
            SeqrlError: it must be copied, and there is no room for it.
        """
        is_whole = width is None or stored.shape[1:] == (width,)
        if is_whole and _is_stored_as(stored, dtype) and (found := self.in_place(stored)) is not None:
            return found
        return _copy_on_disk(stored, dtype, width)

    def in_place(self, stored: h5py.Dataset) -> NDArray[Any] | None:
        """A read-only view of an array where it lies; None if it is not in one piece in the file, or is empty."""
        offset = _place_of(stored)
        if offset is None or not stored.size:
            return None
        if self._bytes is None:
            self._bytes = mmap.mmap(stored.file.id.get_vfd_handle(), 0, access=mmap.ACCESS_READ)
        if offset + stored.nbytes > len(self._bytes):
            return None
        found: NDArray[Any] = np.frombuffer(self._bytes, stored.dtype, stored.size, offset).reshape(stored.shape)
        return found


def _place_of(stored: h5py.Dataset) -> int | None:
    """Where an array begins in its file; None if it is not in one piece."""
    if stored.chunks is not None or stored.file.userblock_size or stored.file.driver != "sec2":
        return None
    offset: int | None = stored.id.get_offset()
    return offset


def _is_stored_as(stored: h5py.Dataset, dtype: np.dtype[Any]) -> bool:
    return bool(stored.dtype == dtype and stored.dtype.isnative)


def _copy_on_disk(stored: h5py.Dataset, dtype: np.dtype[Any], width: int | None) -> NDArray[Any]:
    """The array in a nameless file in the folder of its own, mapped."""
    shape = stored.shape if width is None else (len(stored), width)
    folder = Path(stored.file.filename).parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for start, stop in row_ranges(stored):
                block = _read_rows(stored, start, stop, dtype)
                file.write(np.ascontiguousarray(block if width is None else block[:, :width]).data)
            file.flush()
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        message = f"cannot unpack {stored.name} of {stored.file.filename} beside it: {error.strerror or error}"
        raise SeqrlError(message, "free some disk space, or allow more memory: tasks.max_memory") from error
    found: NDArray[Any] = np.frombuffer(content, dtype).reshape(shape)
    return found


def _read_rows(stored: h5py.Dataset, start: int, stop: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        with np.errstate(over="ignore"):
            rows: NDArray[Any] = stored[start:stop].astype(dtype)
            return rows
    except OSError as error:
        message = f"cannot read {stored.name} of {stored.file.filename}: the file is damaged ({error})"
        raise SeqrlError(message, "get or make the file again") from error


class PageLimit:
    """Limits how much memory the pages of mapped arrays take, by giving all of them back when they take more.

    How many pages come with one that is read is the system's choice, so they are counted rather than computed.

    Args:
        limit: bytes, which the pages of one read may exceed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._arrays: list[NDArray[Any]] = []
        self._before = _file_pages()
        self._checks = 0

    def watch(self, *arrays: NDArray[Any]) -> None:
        """Give the pages of these arrays back, too."""
        self._arrays += arrays

    def check(self) -> None:
        """Give all pages back if they take more than the limit; to be called after each read."""
        self._checks += 1
        is_known = self._before is not None
        if is_known and (_file_pages() or 0) - (self._before or 0) <= self._limit:
            return
        if not is_known and self._checks % _CHECKS_WITHOUT_COUNT:
            return
        for array in self._arrays:
            release(array)
        self._before = _file_pages()


def _file_pages() -> int | None:
    """Bytes of the pages of files that the process has in memory; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[2]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None


def row_ranges(array: Any, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of rows (first, end) of an array, each of about ``block_bytes``."""
    rows = max(1, block_bytes // max(1, array.nbytes // max(1, len(array))))
    return ((start, min(start + rows, len(array))) for start in range(0, len(array), rows))


def mapping_of(array: NDArray[Any]) -> mmap.mmap | None:
    """The mapping that an array lies in; None for an array in memory."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None


def release(array: NDArray[Any]) -> None:
    """Give the pages of a mapped array's file back; they no longer count as the process's memory."""
    if mapping := mapping_of(array):
        mapping.madvise(mmap.MADV_DONTNEED)


def expect_random_reads(array: NDArray[Any]) -> None:
    """Tell the system that reading ahead in a mapped array's file is of no use."""
    if mapping := mapping_of(array):
        mapping.madvise(mmap.MADV_RANDOM)


def read_soon(array: NDArray[Any], starts: NDArray[np.int64], rows: int) -> None:
    """Let the system start to read some rows of a mapped array, without waiting for them.

    Args:
        array: an array; nothing happens if it is in memory.
        starts: (count,) the first rows.
        rows: number of rows to read from each of them.
    """
    mapping = mapping_of(array)
    if mapping is None:
        return
    size = array.nbytes // len(array)
    first = array.__array_interface__["data"][0] - np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    begin = first + starts * size
    end = np.minimum(begin + rows * size, first + array.nbytes)
    begin -= begin % _PAGE
    for start, length in zip(begin.tolist(), (end - begin).tolist(), strict=True):
        mapping.madvise(mmap.MADV_WILLNEED, start, length)
