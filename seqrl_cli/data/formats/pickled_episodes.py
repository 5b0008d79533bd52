"""Pickled lists of episodes, each a dictionary of arrays: the Decision Transformer's datasets.

They are read by :mod:`~seqrl_cli.data.safe_pickle.read`, which never imports or calls anything. A column may be an
array, a list of numbers or a list of arrays; a single dictionary of flat columns works too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.column_names import LAYOUT_HINT, NAMES, columns_to_read, plain_name
from seqrl_cli.data.formats.columns import FILE_HINT, ReadOptions, check_size, join_episodes, read_columns
from seqrl_cli.data.safe_pickle.machine import RefusedFileError
from seqrl_cli.data.safe_pickle.read import BoundedFile, parse_pickle
from seqrl_cli.data.safe_pickle.vocabulary import ARRAYS, PlainArray, is_shape
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import open_regular

MAX_BYTES = 16 * 2**30
MAX_INSTRUCTIONS = 20_000_000

_LIST_HINT = "a pickled dataset is a list of episodes, each a dictionary of arrays; " + LAYOUT_HINT


def read_pickled_episodes(path: Path, options: ReadOptions) -> Episodes:
    """Read a pickled list of episodes, or a pickled dictionary of flat columns.

    Raises:
        SeqrlError: the file is missing or damaged, or contains other data.
        RefusedFileError: it could only be read by running code, or is too large.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                message = f"has {size:,} bytes, more than the {MAX_BYTES:,} allowed for a pickle"
                raise RefusedFileError(str(path), message)
            stream = BoundedFile(file, size)
            value = parse_pickle(stream, str(path), ARRAYS, max_instructions=MAX_INSTRUCTIONS)
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", FILE_HINT) from error
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
    if isinstance(value, PlainArray):
        value = _objects(value, source)
    unpack = _Unpacker(source, size)
    if type(value) is dict:
        return read_columns(unpack.columns(value, source), source, options)
    if type(value) not in (list, tuple):
        raise SeqrlError(f"{source} contains a {_kind(value)}, not a list of episodes", _LIST_HINT)
    if not value:
        raise SeqrlError(f"{source} contains no episodes", FILE_HINT)
    whole = replace(options, default_steps=None)
    return join_episodes(_each(value, source, unpack, whole))


def _each(items: list[Any], source: str, unpack: _Unpacker, options: ReadOptions) -> Iterator[tuple[str, Episodes]]:
    for index, item in enumerate(items):
        name = f"{source}, episode {index}"
        if type(item) is not dict:
            raise SeqrlError(f"{name} is a {_kind(item)}, not a dictionary of arrays", _LIST_HINT)
        columns = unpack.columns(item, name)
        # Next observations are not needed to find the end of the episode.
        kept = {key: column for key, column in columns.items() if plain_name(key) not in NAMES["next_observations"]}
        yield name, read_columns(kept, name, options)


class _Unpacker:
    """Turns plain data into arrays; stops if shared parts would grow beyond what the file can contain."""

    def __init__(self, source: str, size: int) -> None:
        self.source = source
        self.size = size
        self.claimed = 0

    def columns(self, item: dict[Any, Any], name: str) -> dict[str, NDArray[Any]]:
        """The known columns of one dictionary; ``name`` is its name in errors."""
        names = columns_to_read((key for key in item if isinstance(key, str)), name)
        found = {}
        for key in (*names.needed, *names.possible):
            try:
                found[key] = self.array(item[key])
            except ValueError as error:
                if key in names.needed:
                    raise SeqrlError(f"{name}: {key} is not an array of numbers: {error}", _LIST_HINT) from error
        return found

    def array(self, value: Any) -> NDArray[Any]:
        """One column; raises ValueError if the value is not an array of numbers."""
        if isinstance(value, PlainArray):
            self.claim(value)
            return value.to_numpy()
        if type(value) in (bool, int, float):
            return np.asarray(value)  # one number for the whole episode
        if type(value) not in (list, tuple):
            raise ValueError(f"it is a {_kind(value)}")
        if value and isinstance(value[0], PlainArray):
            return self.stack(value)
        return self.rows(value)

    def stack(self, values: list[Any]) -> NDArray[Any]:
        """One array per row."""
        if not all(isinstance(value, PlainArray) for value in values):
            raise ValueError("it mixes arrays with other values")
        for value in values:
            self.claim(value)
        return np.stack([value.to_numpy() for value in values])

    def rows(self, values: list[Any]) -> NDArray[Any]:
        """Plain numbers, or lists of numbers."""
        nested = [value for value in values if type(value) in (list, tuple)]
        self.count(4 * (sum(len(value) for value in nested) + len(values)))
        for row in nested or [values]:
            if not all(type(number) in (int, float, bool) for number in row):
                raise ValueError("its lists contain more than numbers")
        if nested and len(nested) != len(values):
            raise ValueError("it mixes numbers with lists")
        return np.array(values, dtype=np.float64)

    def claim(self, array: PlainArray) -> None:
        """Count the bytes that an array will take."""
        if not is_shape(array.shape):
            raise ValueError("its shape is invalid")
        self.count(4 * math.prod(array.shape))

    def count(self, size: int) -> None:
        """Count bytes; raises SeqrlError if they are more than the file can contain."""
        self.claimed += size
        check_size(self.claimed, self.size, self.source)


def _objects(array: PlainArray, source: str) -> list[Any]:
    try:
        return array.to_objects()
    except ValueError as error:
        raise SeqrlError(f"{source} contains one array, not episodes", _LIST_HINT) from error


def _kind(value: Any) -> str:
    return "single array" if isinstance(value, PlainArray) else f"value of type {type(value).__name__}"
