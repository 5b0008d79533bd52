"""How to look at the plain data of an open vocabulary: what counts as a dictionary, as a list, as text.

An :class:`~seqrl_cli.files.safe_pickle.vocabulary.Inert` object counts as the dictionary of its items and attributes,
or as the list of its entries, because that is what such classes mean: ``defaultdict``, ``deque``, a dataclass.
"""

from __future__ import annotations

from typing import Any

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.vocabulary import (
    OBJECT_CODES,
    EncodedText,
    Inert,
    OtherKey,
    PlainArray,
    PlainDtype,
    as_bytes,
)

MAX_ENTRIES = 200_000  # of a dictionary: columns, or episodes by name

_LISTS = {"deque", "set", "frozenset", "list", "tuple", "UserList"}


def mapping(value: Any) -> dict[str, Any] | None:
    """The entries of a kind of dictionary by name; None for any other value. Keys that are not text are numbered.

    Raises:
        SeqrlError: it has too many.
    """
    if type(value) is dict:
        return _by_name(value)
    if not isinstance(value, Inert) or value.entries is not None:
        return None
    found: dict[str, Any] = {}
    for part in (*value.arguments, *_states(value.state), value.items):
        if type(part) is dict:
            found |= _by_name(part)
        elif type(part) in (list, tuple) and value.class_name.endswith("OrderedDict"):
            found |= _pairs(part)
    return found or None


def sequence(value: Any) -> list[Any] | tuple[Any, ...] | None:
    """The entries of a kind of list or of an array of objects; None for any other value."""
    if type(value) in (list, tuple):
        return value  # type: ignore[no-any-return]
    if isinstance(value, PlainArray):
        return value.to_objects() if is_objects(value) else None
    if isinstance(value, Inert) and (value.entries or value.class_name.rpartition(".")[2] in _LISTS):
        given = [part for part in value.arguments if type(part) in (list, tuple)]
        return [*(given[0] if given else ()), *(value.entries or ())]
    return None


def is_objects(array: PlainArray) -> bool:
    """Whether an array has objects for entries."""
    return isinstance(array.dtype, PlainDtype) and array.dtype.code in OBJECT_CODES


def _states(state: Any) -> tuple[Any, ...]:
    """The attributes that a state sets: a dictionary, or two with those of slots."""
    return state if type(state) is tuple and len(state) == 2 else (state,)


def _pairs(items: list[Any] | tuple[Any, ...]) -> dict[str, Any]:
    is_pairs = all(type(item) in (list, tuple) and len(item) == 2 and type(item[0]) is str for item in items)
    return {name: value for name, value in items} if is_pairs else {}


def _by_name(value: dict[Any, Any]) -> dict[str, Any]:
    if len(value) > MAX_ENTRIES:
        message = f"the pickle contains a dictionary of {len(value):,} entries, more than the {MAX_ENTRIES:,} allowed"
        raise SeqrlError(message, "save the data as arrays, or as a list of episodes")
    return {_text(key, index): entry for index, (key, entry) in enumerate(value.items())}


def _text(key: Any, index: int) -> str:
    """A key as text; Python 2's may be bytes, and NumPy's texts are arrays."""
    if isinstance(key, bytes):
        return key.decode("latin-1")
    if isinstance(key, OtherKey) and isinstance(key.value, EncodedText):
        return key.value.text
    if isinstance(key, OtherKey):
        array = key.value
        is_text = isinstance(array, PlainArray) and array.shape == () and isinstance(array.dtype, PlainDtype)
        if is_text and array.dtype.code.startswith("U"):
            try:
                return as_bytes(array.data).decode("utf-32-le").rstrip("\0")
            except ValueError:
                pass
        return f"#{index}"
    return str(key)
