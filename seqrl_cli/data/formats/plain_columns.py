"""The columns of one episode, from the plain data of a pickle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.column_names import LAYOUT_HINT, columns_to_read
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import check_size
from seqrl_cli.files.safe_pickle.machine import RefusedFileError
from seqrl_cli.files.safe_pickle.tensors import STORAGE_ONLY, PlainStorage, PlainTensor
from seqrl_cli.files.safe_pickle.torch_container import parse_torch_file
from seqrl_cli.files.safe_pickle.views import is_objects, sequence
from seqrl_cli.files.safe_pickle.vocabulary import MAX_DIMENSIONS, Global, Inert, PlainArray, is_shape

LIST_HINT = "a pickled dataset is a list of episodes, each a dictionary of arrays; " + LAYOUT_HINT
_NUMBERS = {int, float, bool}


def plain_objects(array: NDArray[Any]) -> NDArray[Any]:
    """An array of objects that are all numbers, or all texts, as an array of these; any other as it is."""
    entries = array.reshape(-1).tolist()
    if entries and all(isinstance(entry, bool | np.bool_ | Real) for entry in entries):
        return np.array(entries).reshape(array.shape)
    if entries and all(isinstance(entry, str) for entry in entries):
        return np.array(entries, dtype=np.str_).reshape(array.shape)
    if entries and all(isinstance(entry, bytes) for entry in entries):
        return np.array(entries, dtype=np.bytes_).reshape(array.shape)
    return array


class Unpacker:
    """Turns plain data into arrays; stops if shared parts would grow beyond what the file can contain.

    Args:
        source: name of the file in errors.
        size: bytes of the file.
        log: told which columns are not read.
    """

    def __init__(self, source: str, size: int, log: ReadingLog | None = None) -> None:
        self.source = source
        self.log = log
        self.size = size
        self.claimed = 0

    def columns(self, item: dict[str, Any], name: str) -> dict[str, NDArray[Any]]:
        """The known columns of one dictionary; ``name`` is its name in errors."""
        names = columns_to_read(item, name, self.log)
        found = {}
        for key in (*names.needed, *names.possible):
            is_needed = key in names.needed
            if is_needed:
                refuse_inert(item[key], name, key)
            try:
                found[key] = self.column(item[key])
            except (ValueError, OverflowError) as error:
                if is_needed:
                    raise SeqrlError(f"{name}: {key} is not an array of numbers: {error}", LIST_HINT) from error
        return found

    def column(self, value: Any) -> NDArray[Any]:
        """Numbers in arrays and lists, or one number for the whole episode; raises as :meth:`array`."""
        return np.asarray(value) if type(value) in _NUMBERS else self.array(value)

    def array(self, value: Any, depth: int = 0) -> NDArray[Any]:
        """Numbers in arrays and lists; raises ValueError or OverflowError if the value is anything else."""
        if isinstance(value, PlainTensor):
            self.claim(value.size)
            return value.to_numpy(self.storage(value))
        if isinstance(value, PlainArray) and not is_objects(value):
            self.claim(value.shape)
            return value.to_numpy()
        rows = sequence(value)
        if rows is None:
            raise ValueError(f"it is {kind_of(value)}")
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

    def storage(self, tensor: PlainTensor) -> PlainStorage:
        """Where a tensor's numbers are; raises ValueError if pickle has saved something else there."""
        if isinstance(tensor.storage, PlainStorage):
            return tensor.storage
        self.count(len(tensor.storage.content))
        found = parse_torch_file(tensor.storage.content, self.source, STORAGE_ONLY).value
        if not isinstance(found, PlainStorage):
            raise ValueError("a tensor has no numbers")
        return found

    def claim(self, shape: tuple[int, ...]) -> None:
        """Count the bytes that an array will take."""
        if not is_shape(shape):
            raise ValueError("its shape is invalid")
        self.count(4 * math.prod(shape))

    def count(self, size: int) -> None:
        """Count bytes; raises SeqrlError if they are more than the file can contain."""
        self.claimed += size
        check_size(self.claimed, self.size, self.source)


def refuse_inert(value: Any, source: str, wanted: str) -> None:
    """Refuse an object in the place of data, because only its own code could tell what it contains.

    Args:
        value: plain data, which may be such an object.
        source: name of the file, and of the place in it, in errors.
        wanted: name of what the data should be.

    Raises:
        RefusedFileError: it is one.
    """
    name = value.class_name if isinstance(value, Inert) else value.name if isinstance(value, Global) else None
    if name is not None and sequence(value) is None:
        raise RefusedFileError(source, f"names {name[:80]!r}, which only its own code turns into {wanted}")


def kind_of(value: Any) -> str:
    """What a value is, in an error."""
    if isinstance(value, Inert):
        return f"an object of {value.class_name[:80]}"
    return "a single array" if isinstance(value, PlainArray) else f"a value of type {type(value).__name__}"
