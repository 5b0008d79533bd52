"""The stack machine for recordings, in which anything may stand beside the numbers.

It executes the instructions of all protocols. As in :mod:`~seqrl_cli.files.safe_pickle.machine`, nothing is imported or
called: an :class:`~seqrl_cli.files.safe_pickle.vocabulary.Inert` object takes the place of every object that only its
own code could make. Names that no recording has are refused all the same, so that a user learns what the file is.
"""

from __future__ import annotations

from typing import Any

from seqrl_cli.files.safe_pickle.machine import INSTRUCTIONS, Instruction, Machine
from seqrl_cli.files.safe_pickle.vocabulary import Global, Inert, OtherKey, PlainArray, PlainDtype

MAX_MEMORY = 640 * 2**20

# They serve attacks. Nothing depends on the list being complete, because no name is ever looked up.
_HOSTILE_MODULES = {
    *("os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "runpy", "importlib", "pty", "ctypes"),
    *("pickle", "cPickle", "_pickle", "marshal", "timeit", "webbrowser"),
}
_HOSTILE_FUNCTIONS = {"eval", "exec", "execfile", "compile", "open", "file", "__import__", "input", "breakpoint"}
_BUILTINS = {"builtins", "__builtin__", "__builtins__", "_io", "io"}
_MAKERS = {f"{module}.{name}" for module in ("copyreg", "copy_reg") for name in ("_reconstructor", "__newobj__")}

_NUMBER, _OBJECT, _CONTAINER, _LOOKED_UP = 32, 96, 160, 288
# Roughly how many bytes an instruction takes, or, where that is more, 300 per microsecond of its time: what stays below
# the limit takes neither all memory nor minutes. All others take a pointer or a number.
_COSTS = {
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET", "READONLY_BUFFER"), 2 * _NUMBER),
    **dict.fromkeys(("NONE", "POP", "POP_MARK", "DUP", "BUILD"), _OBJECT),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES"), _OBJECT),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "STACK_GLOBAL", "SETITEM"), _OBJECT),
    **dict.fromkeys(("REDUCE", "NEWOBJ", "NEWOBJ_EX", "MARK"), _CONTAINER),
    **dict.fromkeys(("EMPTY_LIST", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), _CONTAINER),
    **dict.fromkeys(("EMPTY_DICT", "DICT", "APPENDS"), _CONTAINER),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING", "LONG", "LONG1", "LONG4", "INT", "FLOAT"), _CONTAINER),
    **dict.fromkeys(("GLOBAL", "INST", "OBJ", "STRING", "UNICODE"), _LOOKED_UP),
    **dict.fromkeys(("SETITEMS", "ADDITEMS", "EMPTY_SET", "FROZENSET"), _LOOKED_UP),
}


class OpenMachine(Machine):
    """A machine that passes over what it does not know.

    Args:
        source: name of the file in errors.
        vocabulary: names that have a replacement.
        persistent_load: turns references to storages into plain objects, see ``Machine``.
    """

    costs = _COSTS
    usual_cost = _NUMBER
    max_memory = MAX_MEMORY

    def _push_global(self, name: str) -> None:
        module, _, attribute = name.partition(".")
        is_hostile = module in _HOSTILE_MODULES or (module in _BUILTINS and attribute in _HOSTILE_FUNCTIONS)
        if is_hostile:
            raise self._refuse(f"names {name[:80]!r}, which no recording needs")
        self._stack.append(Global(name))

    def _call(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        replacement = self._vocabulary.calls.get(function.name) if isinstance(function, Global) else None
        if replacement is not None and type(arguments) is tuple:
            try:
                self._stack.append(replacement(*arguments))
            except (TypeError, ValueError):
                self._stack.append(_inert(function, arguments))
        else:
            self._stack.append(_inert(function, arguments))

    def _new_object(self, _: Any) -> None:
        arguments, kind = self._pop(), self._pop()
        self._stack.append(_inert(kind, arguments))

    def _new_object_with_keywords(self, _: Any) -> None:
        keywords, arguments, kind = self._pop(), self._pop(), self._pop()
        self._stack.append(_inert(kind, (arguments, keywords)))

    def _named_object(self, argument: str) -> None:
        arguments = tuple(self._pop_to_mark())
        self._name(argument)
        self._stack.append(_inert(self._pop(), arguments))

    def _object(self, _: Any) -> None:
        kind, *arguments = self._pop_to_mark() or [None]
        self._stack.append(_inert(kind, tuple(arguments)))

    def _build(self, _: Any) -> None:
        state = self._pop()
        target = self._stack[-1]
        if isinstance(target, PlainArray | PlainDtype):
            try:
                target.restore(state)
            except (TypeError, ValueError):
                target.spoil()
        elif isinstance(target, Inert):
            target.state = state

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Inert):
            target.entries = [] if target.entries is None else target.entries
            target.entries.extend(items)
        else:
            super()._extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        values = items[1::2]
        keys = [key if type(key) in (str, bytes) else OtherKey(key) for key in items[: 2 * len(values) : 2]]
        self.memory += _LOOKED_UP * len(keys)
        if len(items) % 2:
            raise ValueError("a dictionary has a key without a value")
        if isinstance(target, Inert):
            target.items = {} if target.items is None else target.items
            target.items.update(zip(keys, values, strict=True))
        elif type(target) is dict:
            self._contain(target, values)
            target.update(zip(keys, values, strict=True))
        else:
            raise self._refuse(f"sets an item of a value of type {type(target).__name__}")

    def _list(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append([])
        self._extend(items)

    def _dict(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append({})
        self._update(items)

    def _empty_set(self, _: Any) -> None:
        self._stack.append(Inert("builtins.set"))

    def _frozen_set(self, _: Any) -> None:
        entries = self._pop_to_mark()
        self._stack.append(Inert("builtins.frozenset", entries=entries))

    def _drop(self, _: Any) -> None:
        if self._stack:
            self._pop()
        else:
            self._pop_to_mark()

    def _drop_to_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def _duplicate(self, _: Any) -> None:
        self._stack.append(self._stack[-1])


def _inert(kind: Any, arguments: Any) -> Inert:
    """The stand-in for an object of a class, or for the result of a function."""
    given = arguments if type(arguments) is tuple else (arguments,)
    name = kind.name if isinstance(kind, Global) else getattr(kind, "class_name", f"a {type(kind).__name__}")
    if name not in _MAKERS or not given or not isinstance(given[0], Global):
        return Inert(name, given)
    if len(given) == 3 and type(given[2]) is list:  # an old protocol's subclass of a list
        return Inert(given[0].name, entries=given[2])
    return Inert(given[0].name, given[1:])


_LITERALS = ("LONG4", "INT", "LONG", "FLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE")
_MORE_INSTRUCTIONS: dict[str, Instruction] = {
    "REDUCE": OpenMachine._call,
    "NEWOBJ": OpenMachine._new_object,
    "BUILD": OpenMachine._build,
    "LIST": OpenMachine._list,
    "DICT": OpenMachine._dict,
    "EMPTY_SET": OpenMachine._empty_set,
    "ADDITEMS": OpenMachine._appends,
    "FROZENSET": OpenMachine._frozen_set,
    "INST": OpenMachine._named_object,
    "OBJ": OpenMachine._object,
    "NEWOBJ_EX": OpenMachine._new_object_with_keywords,
    "POP": OpenMachine._drop,
    "POP_MARK": OpenMachine._drop_to_mark,
    "DUP": OpenMachine._duplicate,
    "READONLY_BUFFER": OpenMachine._ignore,
    "PUT": OpenMachine._put,
    "GET": OpenMachine._get,
    **dict.fromkeys(_LITERALS, OpenMachine._literal),
}
OpenMachine.instructions = {**INSTRUCTIONS, **_MORE_INSTRUCTIONS}
