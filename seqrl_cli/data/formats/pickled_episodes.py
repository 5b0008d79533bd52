"""Pickled lists of episodes, each a dictionary of arrays: the Decision Transformer's datasets.

They are read by :mod:`~seqrl_cli.data.safe_pickle.read`, which never imports or calls anything. A column may be an
array, or lists of numbers and arrays; whatever else stands beside the columns is not looked at. A single dictionary
may contain flat columns, or the episodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import (
    FILE_HINT,
    LAYOUT_HINT,
    OPTIONAL,
    REQUIRED,
    ReadOptions,
    check_names,
    check_size,
    join_episodes,
    read_columns,
)
from seqrl_cli.data.safe_pickle.machine import RefusedFileError
from seqrl_cli.data.safe_pickle.read import BoundedFile, parse_pickle
from seqrl_cli.data.safe_pickle.views import is_objects, mapping, sequence
from seqrl_cli.data.safe_pickle.vocabulary import ARRAYS, MAX_DIMENSIONS, Global, Inert, PlainArray, is_shape
from seqrl_cli.errors import SeqrlError

MAX_BYTES = 16 * 2**30
MAX_INSTRUCTIONS = 20_000_000

_NUMBERS = {int, float, bool}
_LIST_HINT = "a pickled dataset is a list of episodes, each a dictionary of arrays; " + LAYOUT_HINT


def read_pickled_episodes(path: Path, options: ReadOptions) -> Episodes:
    """Read a pickled list of episodes, or a pickled dictionary of flat columns.

    Raises:
        SeqrlError: the file is missing or damaged, or contains other data.
        RefusedFileError: it could only be read by running code, or is too large.
    """
    if not path.is_file():
        raise SeqrlError(f"there is no file {path}", FILE_HINT)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RefusedFileError(str(path), f"has {size:,} bytes, more than the {MAX_BYTES:,} allowed for a pickle")
    try:
        with path.open("rb", buffering=2**20) as file:
            stream = BoundedFile(file, size)
            value = parse_pickle(stream, str(path), ARRAYS, max_instructions=MAX_INSTRUCTIONS)
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror or error}", "check the file") from error
    return to_episodes(value, str(path), size, options)


def to_episodes(value: Any, source: str, size: int, options: ReadOptions) -> Episodes:
    """Turn the plain data of the restricted reader into episodes.

    Args:
        value: a list of dictionaries, or one dictionary.
        source: name of the file in errors.
        size: its bytes, which limit the size of its arrays.
        options: how to read.

    Raises:
        SeqrlError: the value has another form.
    """
    unpack = _Unpacker(source, size)
    try:
        columns = mapping(value)
        items = sequence(value) if columns is None else _episodes_in(columns)
    except ValueError as error:
        raise SeqrlError(f"{source} contains a damaged array of objects: {error}", FILE_HINT) from error
    if items is None and columns is not None:
        return read_columns(unpack.columns(columns, source), source, options)
    if items is None:
        refuse_inert(value, source, "episodes")
        raise SeqrlError(f"{source} contains {_kind(value)}, not a list of episodes", _LIST_HINT)
    if not items:
        raise SeqrlError(f"{source} contains no episodes", FILE_HINT)
    whole = replace(options, default_steps=None)
    return join_episodes(_each(items, source, unpack, whole))


def _episodes_in(columns: dict[str, Any]) -> Sequence[Any] | None:
    """The episodes that a dictionary holds by name, or as the one list in it, or by column; None for flat columns."""
    if set(REQUIRED).isdisjoint(columns):
        if _is_episode(next(iter(columns.values()), None)):
            return list(columns.values())
        lists = [items for items in map(sequence, columns.values()) if items and _is_episode(items[0])]
        return lists[0] if len(lists) == 1 else None
    lists = [items for items in map(sequence, columns.values()) if items is not None]
    rewards = sequence(columns.get("rewards"))
    if len(lists) < len(columns) or not rewards or len({len(items) for items in lists}) > 1:
        return None
    return (
        [dict(zip(columns, entries, strict=True)) for entries in zip(*lists, strict=True)]
        if _is_long(rewards)
        else None
    )


def _is_episode(value: Any) -> bool:
    return not set(REQUIRED).isdisjoint(mapping(value) or ())


def _is_long(rewards: Sequence[Any]) -> bool:
    """Whether the entries are arrays or lists of an episode's rewards, not one reward in an array of its own."""
    for entry in rewards:
        numbers = sequence(entry)
        size = len(numbers) if numbers is not None else math.prod(entry.shape) if _is_array(entry) else 1
        if size != 1:
            return True
    return False


def _is_array(value: Any) -> bool:
    return isinstance(value, PlainArray) and is_shape(value.shape)


def _each(items: Sequence[Any], source: str, unpack: _Unpacker, options: ReadOptions) -> Iterator[tuple[str, Episodes]]:
    for index, item in enumerate(items):
        name = f"{source}, episode {index}"
        found = mapping(item)
        if found is None:
            refuse_inert(item, name, "an episode")
            raise SeqrlError(f"{name} is {_kind(item)}, not a dictionary of arrays", _LIST_HINT)
        columns = unpack.columns(found, name)
        columns.pop("next_observations", None)  # not needed to find the end of the episode
        yield name, read_columns(columns, name, options)


class _Unpacker:
    """Turns plain data into arrays; stops if shared parts would grow beyond what the file can contain."""

    def __init__(self, source: str, size: int) -> None:
        self.source = source
        self.size = size
        self.claimed = 0

    def columns(self, item: dict[str, Any], name: str) -> dict[str, NDArray[Any]]:
        """The known columns of one dictionary; ``name`` is its name in errors."""
        check_names(item, name)
        found = {}
        for key in (*REQUIRED, *OPTIONAL):
            if key in item:
                refuse_inert(item[key], name, key)
                try:
                    found[key] = self.array(item[key])
                except (ValueError, OverflowError) as error:
                    raise SeqrlError(f"{name}: {key} is not an array of numbers: {error}", _LIST_HINT) from error
        return found

    def array(self, value: Any, depth: int = 0) -> NDArray[Any]:
        """Numbers in arrays and lists; raises ValueError or OverflowError if the value is anything else."""
        if isinstance(value, PlainArray) and not is_objects(value):
            self.claim(value)
            return value.to_numpy()
        rows = sequence(value)
        if rows is None:
            raise ValueError(f"it is {_kind(value)}")
        if depth > MAX_DIMENSIONS:
            raise ValueError(f"it nests lists more than {MAX_DIMENSIONS} deep")
        self.count(4 * (len(rows) + 1))
        kinds = set(map(type, rows))
        if kinds <= _NUMBERS:
            array = np.array(rows, dtype=np.int64 if kinds == {int} else np.float64)
        else:
            array = self.stack(rows, depth)
        return array.reshape(value.shape + array.shape[1:]) if isinstance(value, PlainArray) else array

    def stack(self, rows: Sequence[Any], depth: int) -> NDArray[Any]:
        """One array per row; single numbers may be in arrays of one number."""
        parts = [np.asarray(row) if type(row) in _NUMBERS else self.array(row, depth + 1) for row in rows]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1 and all(part.size == 1 for part in parts):
            parts = [part.reshape(()) for part in parts]
        elif len(shapes) > 1:
            raise ValueError(f"its rows have different shapes, {' and '.join(map(str, sorted(shapes)[:2]))}")
        return np.stack(parts)

    def claim(self, array: PlainArray) -> None:
        """Count the bytes that an array will take."""
        if not is_shape(array.shape):
            raise ValueError("its shape is invalid")
        self.count(4 * math.prod(array.shape))

    def count(self, size: int) -> None:
        """Count bytes; raises SeqrlError if they are more than the file can contain."""
        self.claimed += size
        check_size(self.claimed, self.size, self.source)


def refuse_inert(value: Any, source: str, wanted: str) -> None:
    """Refuse an object in the place of data, because only its own code could tell what it contains.

    Args:
        value: plain data, which may be such an object.
        source: name of the file, and of the place in it, in errors.
        wanted: what the data should be.

    Raises:
        RefusedFileError: it is one.
    """
    name = value.class_name if isinstance(value, Inert) else value.name if isinstance(value, Global) else None
    if name is not None and sequence(value) is None:
        raise RefusedFileError(source, f"names {name[:80]!r}, which only its own code turns into {wanted}")


def _kind(value: Any) -> str:
    if isinstance(value, Inert):
        return f"an object of {value.class_name[:80]}"
    return "a single array" if isinstance(value, PlainArray) else f"a value of type {type(value).__name__}"
