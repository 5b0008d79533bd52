"""The names that untrusted pickles may use, and the plain data that replaces them here.

None of the named classes or functions is ever imported or called. A name outside a pickle's vocabulary is refused. The
vocabulary defined here is that of NumPy's arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DIMENSIONS = 8

OBJECT_CODE = "O8"
NUMPY_CODES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names."""

    name: str


@dataclass(eq=False)
class PlainObject:
    """An instance of a foreign class: its name and its attributes."""

    class_name: str
    attributes: dict[Any, Any] = field(default_factory=dict)

    def restore(self, state: Any) -> None:
        """Set the attributes."""
        require(type(state) is dict)
        self.attributes = state


@dataclass(frozen=True, eq=False)
class EncodedText:
    """Bytes that an old pickle stores as text."""

    text: str

    def to_bytes(self) -> bytes:
        """The bytes; raises ValueError if the text does not encode bytes."""
        return self.text.encode("latin1")


@dataclass(eq=False)
class PlainDtype:
    """A NumPy number type: its code, such as ``f8``, and ``<`` or ``>``."""

    code: str
    order: str = "<"

    def restore(self, state: Any) -> None:
        """Set the byte order; fields, subarrays and metadata are refused."""
        require(type(state) is tuple and 2 <= len(state) <= 9 and state[2:5] == (None,) * len(state[2:5]))
        require(state[1] in ("<", ">", "|", "="))
        self.order = state[1]

    def to_numpy(self) -> np.dtype[Any]:
        """The type."""
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass(eq=False)
class PlainArray:
    """A NumPy array whose bytes are not checked yet."""

    shape: tuple[int, ...] = (0,)
    dtype: PlainDtype | None = None
    data: bytes | EncodedText | list[Any] = b""
    is_fortran: bool = False

    def restore(self, state: Any) -> None:
        """Set the fields from (version, shape, dtype, is_fortran, data)."""
        require(type(state) is tuple and len(state) == 5)
        _, self.shape, self.dtype, self.is_fortran, self.data = state

    def to_numpy(self) -> NDArray[Any]:
        """The array; raises ValueError if type, shape and bytes disagree."""
        require(is_shape(self.shape) and isinstance(self.dtype, PlainDtype))
        assert self.dtype is not None
        dtype = self.dtype.to_numpy()
        data = self.data.to_bytes() if isinstance(self.data, EncodedText) else self.data
        require(isinstance(data, bytes | bytearray) and len(data) == math.prod(self.shape) * dtype.itemsize)
        assert isinstance(data, bytes | bytearray)
        return np.frombuffer(data, dtype).reshape(self.shape, order="F" if self.is_fortran else "C")

    def to_objects(self) -> list[Any]:
        """The entries of an object array, in order; raises ValueError for an array of numbers."""
        require(isinstance(self.dtype, PlainDtype) and self.dtype.code == OBJECT_CODE and is_shape(self.shape))
        require(isinstance(self.data, list) and len(self.data) == math.prod(self.shape))
        assert isinstance(self.data, list)
        return self.data


def require(condition: bool) -> None:
    """Refuse data in a form that NumPy and PyTorch do not write.

    Raises:
        ValueError: the condition does not hold.
    """
    if not condition:
        raise ValueError("not as the originals write it")


def is_shape(value: Any) -> bool:
    """Whether a value is a tuple of sizes."""
    return type(value) is tuple and len(value) <= MAX_DIMENSIONS and all(is_count(size) for size in value)


def is_count(value: Any) -> bool:
    """Whether a value is a plausible count."""
    return type(value) is int and 0 <= value < 2**40


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    require(type(pairs) in (tuple, list) and not pairs)
    return {}


def _encode(text: Any, encoding: Any) -> EncodedText:
    require(type(text) is str and encoding == "latin1")
    return EncodedText(text)


def _dtype(code: Any, align: Any = False, copy: Any = True) -> PlainDtype:
    require(type(code) is str and code in NUMPY_CODES)
    return PlainDtype(code)


def _array(kind: Any, shape: Any, typecode: Any) -> PlainArray:
    require(kind == Global("numpy.ndarray"))
    return PlainArray()


def _scalar(dtype: Any, data: Any) -> PlainArray:
    return PlainArray((), dtype, data)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PlainArray:
    require(order in ("C", "F"))
    return PlainArray(shape, dtype, data, order == "F")


# Replacements for calls of named functions; a ValueError or TypeError means wrong arguments.
ARRAY_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "_codecs.encode": _encode,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}


@dataclass(frozen=True)
class Vocabulary:
    """The names that one kind of pickle may use.

    Attributes:
        calls: functions, with a replacement for each.
        classes: classes whose instances are read as a name and a dictionary.
        mentioned: classes that are named but never instantiated.
    """

    calls: Mapping[str, Callable[..., Any]]
    classes: Set[str] = frozenset()
    mentioned: Set[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self.calls or name in self.classes or name in self.mentioned


def _dtype_or_object(code: Any, align: Any = False, copy: Any = True) -> PlainDtype:
    return PlainDtype(code) if code == OBJECT_CODE else _dtype(code, align, copy)


# Arrays, and object arrays of such arrays.
ARRAYS = Vocabulary({**ARRAY_CALLS, "numpy.dtype": _dtype_or_object}, mentioned=frozenset({"numpy.ndarray"}))
