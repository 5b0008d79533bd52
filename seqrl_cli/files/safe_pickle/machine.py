"""The stack machine of pickles, without the instructions that could do harm.

It has only the instructions needed for numbers, text, arrays and tensors. It builds numbers, text, tuples, lists,
dictionaries and the plain objects of :mod:`~seqrl_cli.files.safe_pickle.vocabulary`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.vocabulary import Global, PlainArray, PlainDtype, PlainObject, Vocabulary

MAX_DEPTH = 64
MAX_KEY = 2**60  # larger numbers can be chosen to have one hash, which makes dictionaries slow

HINT = "nothing in it was run; get it again from its authors, or ask for plain arrays or tensors"

_NUMBERS = (float, int, bool, type(None))
_ATOMS = frozenset({*_NUMBERS, str, bytes})

PersistentLoad = Callable[[Any], Any]
Instruction = Callable[[Any, Any], None]


class RefusedFileError(SeqrlError):
    """An untrusted file contains something other than the expected data."""

    def __init__(self, source: str, what: str) -> None:
        super().__init__(f"{source} was refused: it {what}", HINT)
        self.source = source
        self.what = what

    def __reduce__(self) -> tuple[type[RefusedFileError], tuple[str, str]]:
        return type(self), (self.source, self.what)


class Machine:
    """The stack with its marks, and the memo.

    Args:
        source: name of the file in errors.
        vocabulary: names that the pickle may use.
        persistent_load: turns references to storages of tensors into plain objects; None if there are none.

    Attributes:
        instructions: effect of each known instruction on a machine, given the operand that follows it. It raises
            RefusedFileError for operands that no saved data needs, and IndexError if the stack has none.
        costs: rough number of bytes of an instruction's result; of others, ``usual_cost``.
        max_memory: limit on their sum.
        memory: the sum so far.
        executed: number of instructions executed, once it has ended.
    """

    instructions: ClassVar[Mapping[str, Instruction]] = {}
    costs: ClassVar[Mapping[str, int]] = {}
    usual_cost: ClassVar[int] = 0
    max_memory: ClassVar[float] = math.inf

    def __init__(self, source: str, vocabulary: Vocabulary, persistent_load: PersistentLoad | None) -> None:
        self.memory = 0
        self.executed = 0
        self._source = source
        self._vocabulary = vocabulary
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        self._below_marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        # By identity, which is unique while the containers are kept alive.
        self._depths: dict[int, int] = {}
        self._containers: list[Any] = []

    def refuse_memory(self) -> RefusedFileError:
        """The error for a program that needs more than :attr:`max_memory`."""
        return self._refuse("has more objects than fit in memory; save arrays, not numbers one by one")

    def result(self) -> Any:
        """The value that the pickle has built; raises IndexError if there is none."""
        return self._pop()

    def refuse_instruction(self, name: str) -> RefusedFileError:
        """The error for an instruction that is not among :attr:`instructions`."""
        return self._refuse(f"uses the pickle instruction {name}, which no saved model needs")

    def _refuse(self, what: str) -> RefusedFileError:
        return RefusedFileError(self._source, what)

    def _pop(self) -> Any:
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._below_marks.pop()
        return items

    def _ignore(self, _: Any) -> None:
        """Accept an instruction that changes nothing here."""

    def _literal(self, argument: Any) -> None:
        self._stack.append(argument)

    def _none(self, _: Any) -> None:
        self._stack.append(None)

    def _true(self, _: Any) -> None:
        self._stack.append(True)

    def _false(self, _: Any) -> None:
        self._stack.append(False)

    def _empty_tuple(self, _: Any) -> None:
        self._stack.append(())

    def _empty_list(self, _: Any) -> None:
        self._stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def _tuple_of_one(self, _: Any) -> None:
        self._push_tuple((self._pop(),))

    def _tuple_of_two(self, _: Any) -> None:
        second, first = self._pop(), self._pop()
        self._push_tuple((first, second))

    def _tuple_of_three(self, _: Any) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._push_tuple((first, second, third))

    def _put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, key: int) -> None:
        if key not in self._memo:
            raise self._refuse(f"refers to memo entry {key}, which it never made")
        self._stack.append(self._memo[key])

    def _mark(self, _: Any) -> None:
        self._below_marks.append(self._stack)
        self._stack = []

    def _push_tuple(self, value: tuple[Any, ...]) -> None:
        self._contain(value, value)
        self._stack.append(value)

    def _tuple_from_mark(self, _: Any) -> None:
        self._push_tuple(tuple(self._pop_to_mark()))

    def _append(self, _: Any) -> None:
        item = self._pop()
        target = self._stack[-1]
        if type(target) is list and type(item) in _ATOMS:  # no container, so that depths need no look
            target.append(item)
        else:
            self._extend([item])

    def _appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def _set_items(self, _: Any) -> None:
        self._update(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise self._refuse(f"appends to a value of type {_kind(target)}")
        self._contain(target, items)
        target.extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        keys = items[::2]
        values = items[1::2]
        if type(target) is not dict:
            raise self._refuse(f"sets an item of a value of type {_kind(target)}")
        for key in keys:
            if type(key) not in (str, int):
                raise self._refuse(f"has a dictionary key of type {_kind(key)}")
            if type(key) is int and abs(key) > MAX_KEY:
                raise self._refuse(f"has a dictionary key above {MAX_KEY:,}")
        self._contain(target, values)
        target.update(zip(keys, values, strict=True))

    def _contain(self, container: Any, items: Sequence[Any]) -> None:
        """Track how deeply containers are nested, and refuse too deep ones. Those of numbers and text do not count."""
        below = [item for item in items if type(item) not in _ATOMS]
        if not below:
            return
        self.memory += self.usual_cost * (3 + len(below))
        depths = self._depths
        depth = 1 + max([depths.get(id(item), 0) for item in below])
        if depth > MAX_DEPTH or any(item is container for item in below):
            raise self._refuse(f"nests values more than {MAX_DEPTH} deep")
        known = depths.get(id(container))
        if known is None:
            self._containers.append(container)
        if known is None or depth > known:
            depths[id(container)] = depth

    def _name(self, argument: str) -> None:
        self._push_global(argument.replace(" ", ".", 1))

    def _name_from_stack(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise self._refuse("names something by a value that is not text")
        self._push_global(f"{module}.{name}")

    def _push_global(self, name: str) -> None:
        if name not in self._vocabulary:
            raise self._refuse(f"names {name[:80]!r}, which is not on the list of known data")
        self._stack.append(Global(name))

    def _call(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        name = function.name if isinstance(function, Global) else f"a value of type {_kind(function)}"
        if name not in self._vocabulary.calls or type(arguments) is not tuple:
            raise self._refuse(f"calls {name}")
        try:
            self._stack.append(self._vocabulary.calls[name](*arguments))
        except (TypeError, ValueError) as error:
            raise self._refuse(f"calls {name} with arguments that no saved model uses") from error

    def _new_object(self, _: Any) -> None:
        arguments, kind = self._pop(), self._pop()
        name = kind.name if isinstance(kind, Global) else f"a value of type {_kind(kind)}"
        if name not in self._vocabulary.classes or arguments != ():
            raise self._refuse(f"makes an object of {name}")
        self._stack.append(PlainObject(name))

    def _build(self, _: Any) -> None:
        state = self._pop()
        target = self._stack[-1]
        if type(target) is dict and type(state) is dict:
            return  # the version numbers in a module's state dict
        if not isinstance(target, PlainObject | PlainArray | PlainDtype):
            raise self._refuse(f"sets the state of a value of type {_kind(target)}")
        try:
            target.restore(state)
        except (TypeError, ValueError) as error:
            raise self._refuse(f"sets the state of a {_kind(target)} to a value that no saved model uses") from error

    def _persistent(self, _: Any) -> None:
        if self._persistent_load is None:
            raise self._refuse("refers to an object outside of the pickle")
        self._stack.append(self._persistent_load(self._pop()))


_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
INSTRUCTIONS: dict[str, Instruction] = {
    **dict.fromkeys(_LITERALS, Machine._literal),
    "PROTO": Machine._ignore,
    "FRAME": Machine._ignore,
    "NONE": Machine._none,
    "NEWTRUE": Machine._true,
    "NEWFALSE": Machine._false,
    "EMPTY_TUPLE": Machine._empty_tuple,
    "EMPTY_LIST": Machine._empty_list,
    "EMPTY_DICT": Machine._empty_dict,
    "TUPLE1": Machine._tuple_of_one,
    "TUPLE2": Machine._tuple_of_two,
    "TUPLE3": Machine._tuple_of_three,
    "BINPUT": Machine._put,
    "LONG_BINPUT": Machine._put,
    "MEMOIZE": Machine._memoize,
    "BINGET": Machine._get,
    "LONG_BINGET": Machine._get,
    "MARK": Machine._mark,
    "TUPLE": Machine._tuple_from_mark,
    "APPEND": Machine._append,
    "APPENDS": Machine._appends,
    "SETITEM": Machine._set_item,
    "SETITEMS": Machine._set_items,
    "GLOBAL": Machine._name,
    "STACK_GLOBAL": Machine._name_from_stack,
    "REDUCE": Machine._call,
    "NEWOBJ": Machine._new_object,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
}
Machine.instructions = INSTRUCTIONS


def _kind(value: Any) -> str:
    return f"reference to {value.name}" if isinstance(value, Global) else type(value).__name__
