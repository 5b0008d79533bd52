"""``.npz`` archives of flat columns under D4RL's names, or of object arrays with one episode per entry.

NumPy would unpickle objects and trust every header. Here an array's header must agree with the bytes that follow, an
archive must not unpack to far more than its size, and objects are read by :mod:`~seqrl_cli.files.safe_pickle.read`.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import tokenize
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import FILE_HINT
from seqrl_cli.data.formats.column_names import FLAG_ROLES, ColumnNames, columns_to_read, role_of
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.pickled_episodes import MAX_INSTRUCTIONS, to_episodes
from seqrl_cli.data.formats.plain_columns import plain_objects, refuse_inert
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.data.formats.stacked import is_of_imitation, read_table
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.archives import ARCHIVE_ERRORS
from seqrl_cli.files.regular import NotRegularError, check_size, open_regular
from seqrl_cli.files.safe_pickle.read import parse_pickle
from seqrl_cli.files.safe_pickle.vocabulary import ARRAYS, PlainArray

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

# What NumPy's header parser raises for damaged files.
_HEADER_ERRORS = (ValueError, SyntaxError, tokenize.TokenError, TypeError, KeyError, OverflowError)


def read_npz(path: Path, options: ReadOptions) -> Episodes:
    """Read a dataset.

    Raises:
        SeqrlError: the file is missing or damaged, or contains other arrays.
        RefusedFileError: its objects could only be read by running code.
    """
    size = 0
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            with zipfile.ZipFile(file) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                if len(members) < len(archive.infolist()):
                    _refuse_twins([info.filename.removesuffix(".npy") for info in archive.infolist()], path)
                names = columns_to_read(members, str(path), options.log)
                indices = ("indices",) if is_of_imitation(members) else ()
                wanted = {name: members[name] for name in (*names.needed, *names.possible, *indices)}
                check_size(sum(info.file_size for info in wanted.values()), size, str(path))
                columns = {
                    name: _member(archive, members[name], f"{path}, {name}") for name in (*names.needed, *indices)
                }
                episodes = next((len(column) for column in columns.values() if isinstance(column, list)), None)
                if episodes is not None:
                    columns = {name: _entries(name, column, episodes) for name, column in columns.items()}
                columns |= _possible(archive, members, names, path, episodes, options.log)
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", FILE_HINT) from error
    except (*ARCHIVE_ERRORS, OSError, *_HEADER_ERRORS) as error:
        raise SeqrlError(f"cannot read {path}: {_reason(size, error)}", FILE_HINT) from error
    objects = [name for name, column in columns.items() if isinstance(column, list)]
    if not objects:
        return read_table(columns, str(path), options)
    if len(objects) < len(columns):
        plain = next(name for name in columns if name not in objects)
        raise SeqrlError(
            f"{path}: {objects[0]} has one entry per episode, {plain} one row per step", "save both in the same form"
        )
    return to_episodes(_by_episode(columns, path), str(path), size, options)


def _entries(name: str, column: Any, episodes: int) -> Any:
    """Flags of whole episodes as entries, one per episode; any other column as it is."""
    is_flag = role_of(name) in FLAG_ROLES and not isinstance(column, list)
    return column.tolist() if is_flag and column.shape == (episodes,) else column


def _refuse_twins(names: list[str], path: Path) -> None:
    """Stop at an archive with several members of one name, of which programs read different ones."""
    twin = next(name for name, count in Counter(names).items() if count > 1)
    raise SeqrlError(f"{path} contains {twin[:80]!r} more than once", "save the arrays again, each once")


def _possible(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    names: ColumnNames,
    path: Path,
    episodes: int | None,
    log: ReadingLog,
) -> dict[str, Any]:
    """The members that have the form of the other columns: one row per step, or one entry per episode.

    Objects are read as numbers or texts where rows are steps (``episodes`` is None), and as many numbers as there are
    episodes as entries where they are episodes.
    """
    found = {}
    is_by_episode = episodes is not None
    for name in names.possible:
        info = members[name]
        with contextlib.suppress(SeqrlError, *_HEADER_ERRORS):
            with archive.open(info) as stream:
                shape, _, dtype = _read_header(stream)
            if not names.is_possible(name, math.prod(shape)):
                continue
            member = _member(archive, info, f"{path}, {name}")
            if is_by_episode and shape == (episodes,) and not isinstance(member, list):
                member = member.tolist()
            elif not is_by_episode and isinstance(member, list):
                member = plain_objects(np.array(member, dtype=object))
                if member.dtype.hasobject or name in names.doubtful:
                    if len(member) > 1 and name not in names.doubtful and member.any():
                        log.warn(f"{name} is not read, because it contains neither numbers nor texts")
                    continue
            if isinstance(member, list) == is_by_episode:
                found[name] = member
    return found


def _reason(size: int, error: Exception) -> str:
    if isinstance(error, NotRegularError):
        return str(error.strerror)
    if size == 0:
        return "the file is empty"
    if isinstance(error, zipfile.BadZipFile) and "not a zip" in str(error):
        return "it is truncated or not an .npz archive"
    return f"the file is damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})"


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str) -> NDArray[Any] | list[Any]:
    """One array, or the entries of an object array."""
    with archive.open(info) as stream:
        shape, is_fortran, dtype = _read_header(stream)
        if dtype.hasobject:
            return _objects(stream.read(), source)
        expected = math.prod(shape) * dtype.itemsize
        actual = info.file_size - stream.tell()
        if expected != actual:
            raise ValueError(f"{info.filename} states shape {shape} of {dtype}, {expected:,} bytes, but has {actual:,}")
        numbers = np.frombuffer(stream.read(), dtype) if expected else np.empty(math.prod(shape), dtype)
    return numbers.reshape(shape, order="F" if is_fortran else "C")


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"an array has version {version} of NumPy's format")
    try:
        return _HEADERS[version](stream)
    except ValueError as error:  # whose text may contain an address in memory
        raise ValueError("the header of an array cannot be read") from error


def _objects(data: bytes, source: str) -> list[Any]:
    value = parse_pickle(io.BytesIO(data), source, ARRAYS, max_instructions=MAX_INSTRUCTIONS)
    refuse_inert(value, source, "an array")
    if not isinstance(value, PlainArray):
        raise ValueError("an object array is something else")
    return value.to_objects()


def _by_episode(columns: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{name} {count}" for name, count in counts.items())
        message = f"{path} has columns with different numbers of episodes: {listing}"
        raise SeqrlError(message, "save the same episodes in each")
    return [dict(zip(columns, entries, strict=True)) for entries in zip(*columns.values(), strict=True)]
