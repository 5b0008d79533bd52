"""The names that untrusted pickles may use, and the plain data that replaces them here.

None of the named classes or functions is ever imported or called. A name outside a closed vocabulary is refused; an
open one puts an :class:`Inert` object in its place. The vocabulary defined here is that of NumPy's arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DIMENSIONS = 8

OBJECT_CODES = {"O", "O4", "O8"}
NUMPY_CODES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
LONG_DOUBLE = np.dtype(np.longdouble).str[1:]  # of other sizes on other machines


@dataclass(frozen=True, slots=True)
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


@dataclass(eq=False, slots=True)
class Inert:
    """What stands in the place of an object that only its own code could make.

    Attributes:
        class_name: the class or function that the pickle names.
        arguments: the arguments that it would be called with.
        state: the state that its attributes would be set from.
        items: items of the object, if it is a kind of dictionary.
        entries: entries of the object, if it is a kind of list or set.
    """

    class_name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] | None = None
    entries: list[Any] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class OtherKey:
    """A dictionary's key that is not text: equal to no other, because hashes can be chosen, or take long."""

    value: Any


@dataclass(frozen=True, eq=False, slots=True)
class EncodedText:
    """Bytes that an old pickle stores as text."""

    text: str

    def to_bytes(self) -> bytes:
        """The bytes; raises ValueError if the text does not encode bytes."""
        return self.text.encode("latin1")


@dataclass(eq=False, slots=True)
class PlainDtype:
    """A NumPy type: its code, such as ``f8``, and ``<`` or ``>``."""

    code: str
    order: str = "<"

    def restore(self, state: Any) -> None:
        """Set the byte order; fields, subarrays and metadata are refused."""
        require(type(state) is tuple and 2 <= len(state) <= 9 and state[2:5] == (None,) * len(state[2:5]))
        require(state[1] in ("<", ">", "|", "="))
        self.order = state[1]

    def spoil(self) -> None:
        """Remember that the type has fields or other parts, and is not that of numbers."""
        self.code = "structured"

    def to_numpy(self) -> np.dtype[Any]:
        """The type; raises ValueError unless it is of numbers."""
        if self.code not in NUMPY_CODES and self.code != LONG_DOUBLE:
            raise ValueError(f"its values are of type {self.code:.20}")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass(eq=False, slots=True)
class PlainArray:
    """A NumPy array whose bytes are not checked yet; ``axes`` reorders the axes of what was saved."""

    shape: tuple[int, ...] = (0,)
    dtype: PlainDtype | None = None
    data: bytes | EncodedText | str | list[Any] = b""
    is_fortran: bool = False
    mask: Any = b""
    axes: tuple[int, ...] | None = None

    def restore(self, state: Any) -> None:
        """Set the fields from (version, shape, dtype, is_fortran, data), or from a masked array's further ones."""
        require(type(state) is tuple and len(state) in (5, 7))
        _, self.shape, self.dtype, self.is_fortran, self.data = state[:5]
        self.mask = state[5] if len(state) == 7 else b""

    def spoil(self) -> None:
        """Remember that the array cannot be read."""
        self.dtype = None

    def to_numpy(self) -> NDArray[Any]:
        """The array; raises ValueError if type, shape and bytes disagree."""
        require(is_shape(self.shape) and isinstance(self.dtype, PlainDtype))
        assert self.dtype is not None
        dtype = self.dtype.to_numpy()
        data = as_bytes(self.data)
        require(len(data) == math.prod(self.shape) * dtype.itemsize)
        if any(as_bytes(self.mask)):
            raise ValueError("some of its values are masked")
        numbers = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
        array = numbers.reshape(self.shape, order="F" if self.is_fortran else "C")
        return array if self.axes is None else array.transpose(self.axes)

    def to_objects(self) -> list[Any]:
        """The entries of an object array, in order; raises ValueError for an array of numbers."""
        require(isinstance(self.dtype, PlainDtype) and self.dtype.code in OBJECT_CODES and is_shape(self.shape))
        require(isinstance(self.data, list) and len(self.data) == math.prod(self.shape))
        assert isinstance(self.data, list)
        return self.data


def as_bytes(data: Any) -> bytes | bytearray:
    """Saved bytes, which old protocols write as text; raises ValueError if they are neither."""
    if isinstance(data, EncodedText):
        return data.to_bytes()
    if type(data) is str:
        return data.encode("latin-1")
    if not isinstance(data, bytes | bytearray):
        raise ValueError("not as the originals write it")
    return data


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


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> PlainArray:
    require(order in ("C", "F", "K"))
    if order == "K" and axes is not None:
        require(is_shape(axes) and is_shape(shape) and sorted(axes) == list(range(len(shape))))
        return PlainArray(shape, dtype, data, axes=axes)
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
        is_open: whether an :class:`Inert` object replaces what any other name would make; else it is refused.
    """

    calls: Mapping[str, Callable[..., Any]]
    classes: Set[str] = frozenset()
    mentioned: Set[str] = frozenset()
    is_open: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.calls or name in self.classes or name in self.mentioned


def _any_dtype(code: Any, align: Any = False, copy: Any = True) -> PlainDtype:
    require(type(code) is str)
    return PlainDtype(code)


def _any_array(kind: Any, shape: Any, typecode: Any) -> PlainArray:
    require(isinstance(kind, Global))
    return PlainArray()


def _masked_array(kind: Any, base: Any, shape: Any, typecode: Any) -> PlainArray:
    return _any_array(kind, shape, typecode)


def _empty_bytes() -> bytes:
    return b""


# Arrays, object arrays, and whatever else stands beside them.
ARRAYS = Vocabulary(
    {
        **ARRAY_CALLS,
        "numpy.dtype": _any_dtype,
        "numpy.core.multiarray._reconstruct": _any_array,
        "numpy._core.multiarray._reconstruct": _any_array,
        "numpy.ma.core._mareconstruct": _masked_array,
        "__builtin__.bytes": _empty_bytes,
        "builtins.bytes": _empty_bytes,
    },
    mentioned=frozenset({"numpy.ndarray"}),
    is_open=True,
)
