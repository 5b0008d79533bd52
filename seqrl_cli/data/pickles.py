"""Pickles from anywhere, read as plain data: nothing that they name is imported or called.

A pickle is a program for a small stack machine, and Python's own machine will call whatever the program names. The one
here knows only the instructions that saving numbers, text, arrays and tensors takes, and what it builds is numbers,
text, tuples, lists, dictionaries and the stand-ins of :mod:`~seqrl_cli.data.plain_data`. Python's ``pickletools``
cuts the program into instructions, which runs nothing and reads no further than the bytes that are there.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from seqrl_cli.data.plain_data import Global, PlainArray, PlainDtype, PlainObject, Vocabulary
from seqrl_cli.errors import SeqrlError

MAX_PICKLE_BYTES = 64 * 2**20
MAX_INSTRUCTIONS = 300_000
MAX_DEPTH = 64
_MAX_LINE = 2**16

HINT = "nothing in it was run; get it again from its authors, or saved there as plain arrays or tensors"

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_EMPTY = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"BINGET", "LONG_BINGET"}
_IGNORED = {"PROTO", "FRAME"}

PersistentLoad = Callable[[Any], Any]


class RefusedFileError(SeqrlError):
    """A foreign file holds something else than the data it should."""

    def __init__(self, source: str, what: str) -> None:
        super().__init__(f"{source} was refused: it {what}", HINT)
        self.source, self.what = source, what

    def __reduce__(self) -> tuple[type[RefusedFileError], tuple[str, str]]:
        return type(self), (self.source, self.what)


def read_bytes(path: Path, limit: int) -> bytes:
    """A file's bytes.

    Raises:
        SeqrlError: it is missing, cannot be read, or is larger than ``limit``.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise RefusedFileError(str(path), f"has {size:,} bytes, more than the {limit:,} that such a file may have")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", "check that the folder is complete") from error
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror or error}", "check the file") from error


class BoundedFile:
    """A file of known length, read no further than its end, whatever is asked for.

    Args:
        file: opened for reading bytes.
        size: its length.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes; memory is taken for those that are there."""
        data = self._file.read(count if 0 <= count < self._left else self._left)
        self._left -= len(data)
        return data

    def readline(self) -> bytes:
        """A line, such as the name of a class, cut where it is longer than any name."""
        line = self._file.readline(_MAX_LINE)
        self._left = max(0, self._left - len(line))
        return line


def read_pickle(path: Path, vocabulary: Vocabulary) -> Any:
    """The plain data of a small pickle file.

    Args:
        path: the file.
        vocabulary: what it may name.

    Raises:
        SeqrlError: it is missing or damaged.
        RefusedFileError: it holds anything but known data.
    """
    return parse_pickle(io.BytesIO(read_bytes(path, MAX_PICKLE_BYTES)), str(path), vocabulary)


def parse_pickle(
    stream: io.BytesIO | BoundedFile,
    source: str,
    vocabulary: Vocabulary,
    persistent_load: PersistentLoad | None = None,
    max_instructions: int = MAX_INSTRUCTIONS,
) -> Any:
    """The plain data of one pickle, which may be followed by other bytes.

    Args:
        stream: read up to the pickle's end.
        source: how errors call the file.
        vocabulary: what it may name.
        persistent_load: turns references to tensors' storages into stand-ins; None where there are none.
        max_instructions: that it may take to read.

    Raises:
        SeqrlError: the pickle is cut short or garbled.
        RefusedFileError: it holds anything but known data.
    """
    machine = _Machine(source, vocabulary, persistent_load)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], stream))):
            if count >= max_instructions:
                raise RefusedFileError(source, f"takes more than {max_instructions:,} instructions to read")
            if opcode.name == "STOP":
                return machine.pop()
            machine.execute(opcode.name, argument)
    except (ValueError, IndexError) as error:
        raise SeqrlError(f"{source} is not a whole pickle: {_reason(error)}", "copy the file again") from error
    raise AssertionError("pickletools ends at STOP or raises")


def _reason(error: Exception) -> str:
    return "an instruction lacks its operands" if isinstance(error, IndexError) else str(error).rstrip(".")


class _Machine:
    """The stack, the marks in it, and the memo."""

    def __init__(self, source: str, vocabulary: Vocabulary, persistent_load: PersistentLoad | None) -> None:
        self.source, self.vocabulary, self.persistent_load = source, vocabulary, persistent_load
        self.stack: list[Any] = []
        self.below_marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        # By identity, which lasts as long as the containers are kept alive beside it.
        self.depths: dict[int, int] = {}
        self.containers: list[Any] = []

    def refuse(self, what: str) -> RefusedFileError:
        return RefusedFileError(self.source, what)

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below_marks.pop()
        return items

    def execute(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _SHORT_TUPLES:
            self.push_tuple([self.pop() for _ in range(_SHORT_TUPLES[name])][::-1])
        elif name in _PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in _GETS:
            self.get(argument)
        elif name not in _IGNORED:
            instruction = _INSTRUCTIONS.get(name)
            if instruction is None:
                raise self.refuse(f"uses the pickle instruction {name}, which no saved model needs")
            instruction(self, argument)

    def get(self, key: int) -> None:
        if key not in self.memo:
            raise self.refuse(f"refers to memo entry {key}, which it never made")
        self.stack.append(self.memo[key])

    def mark(self, _: Any) -> None:
        self.below_marks.append(self.stack)
        self.stack = []

    def push_tuple(self, items: list[Any]) -> None:
        value = tuple(items)
        self.contain(value, items)
        self.stack.append(value)

    def tuple_from_mark(self, _: Any) -> None:
        self.push_tuple(self.pop_to_mark())

    def append(self, _: Any) -> None:
        self.extend([self.pop()])

    def appends(self, _: Any) -> None:
        self.extend(self.pop_to_mark())

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.update([key, value])

    def set_items(self, _: Any) -> None:
        self.update(self.pop_to_mark())

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise self.refuse(f"appends to a value of type {_kind(target)}")
        self.contain(target, items)
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target, keys, values = self.stack[-1], items[::2], items[1::2]
        if type(target) is not dict:
            raise self.refuse(f"sets an item of a value of type {_kind(target)}")
        for key in keys:
            if type(key) not in (str, int):
                raise self.refuse(f"has a dictionary key of type {_kind(key)}")
        self.contain(target, values)
        target.update(zip(keys, values, strict=True))

    def contain(self, container: Any, items: list[Any]) -> None:
        """Keep count of how deep containers are nested."""
        depths, depth = self.depths, self.depths.get(id(container), 1)
        for item in items:
            below = depths.get(id(item), 0)
            if below >= depth:
                depth = below + 1
            if depth > MAX_DEPTH or item is container:
                raise self.refuse(f"nests values more than {MAX_DEPTH} deep")
        depths[id(container)] = depth
        self.containers.append(container)

    def name(self, argument: str) -> None:
        self.push_global(argument.replace(" ", ".", 1))

    def name_from_stack(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise self.refuse("names something by a value that is not text")
        self.push_global(f"{module}.{name}")

    def push_global(self, name: str) -> None:
        if name not in self.vocabulary:
            raise self.refuse(f"names {name[:80]!r}, which is not on the list of known data")
        self.stack.append(Global(name))

    def call(self, _: Any) -> None:
        arguments, function = self.pop(), self.pop()
        name = function.name if isinstance(function, Global) else f"a value of type {_kind(function)}"
        if name not in self.vocabulary.calls or type(arguments) is not tuple:
            raise self.refuse(f"calls {name}")
        try:
            self.stack.append(self.vocabulary.calls[name](*arguments))
        except (TypeError, ValueError) as error:
            raise self.refuse(f"calls {name} with other arguments than a saved model does") from error

    def new_object(self, _: Any) -> None:
        arguments, kind = self.pop(), self.pop()
        name = kind.name if isinstance(kind, Global) else f"a value of type {_kind(kind)}"
        if name not in self.vocabulary.classes or arguments != ():
            raise self.refuse(f"makes an object of {name}")
        self.stack.append(PlainObject(name))

    def build(self, _: Any) -> None:
        state, target = self.pop(), self.stack[-1]
        if type(target) is dict and type(state) is dict:
            return  # the version numbers that a module's state dict carries
        if not isinstance(target, PlainObject | PlainArray | PlainDtype):
            raise self.refuse(f"sets the state of a value of type {_kind(target)}")
        try:
            target.restore(state)
        except (TypeError, ValueError) as error:
            raise self.refuse(
                f"sets the state of a {_kind(target)} to something else than a saved model does"
            ) from error

    def persistent(self, _: Any) -> None:
        if self.persistent_load is None:
            raise self.refuse("refers to an object outside of the pickle")
        self.stack.append(self.persistent_load(self.pop()))


_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple_from_mark,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.new_object,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}


def _kind(value: Any) -> str:
    return f"reference to {value.name}" if isinstance(value, Global) else type(value).__name__
