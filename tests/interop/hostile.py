"""Hostile pickles: what each is, its program, and the word that the refusal must hold."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np

from seqrl_cli.files.safe_pickle.machine import MAX_DEPTH
from seqrl_cli.files.safe_pickle.read import MAX_INSTRUCTIONS
from tests.interop.spelling import (
    BUILD,
    END,
    MARK,
    NEWOBJ,
    REDUCE,
    call,
    dict_of,
    name,
    storage,
    tensor,
    text,
    tuple_of,
)

Programs = dict[str, tuple[bytes, str]]

OS_SYSTEM = name("os", "system")
GETATTR, IMPORT = name("builtins", "getattr"), name("builtins", "__import__")
CONFIG = name("trajectory.utils.config", "Config") + b")" + NEWOBJ
ORDERED_DICT = name("collections", "OrderedDict")
FOUR = b"\x80\x04"
STACK_GLOBAL = b"\x93"


def live(canary: Path) -> Programs:
    """Programs that make Python's own unpickler create the file ``canary``."""
    touch, write = text(f"touch {canary}"), text(f"open({str(canary)!r}, 'w').close()")
    path = call(name("pathlib", "Path"), text(str(canary)))
    fire = call(OS_SYSTEM, touch)
    inner = pickle.dumps(None, protocol=2)[:2] + fire + END
    from_memo = text("os") + b"q\x07" + text("system") + b"q\x08" + b"h\x07h\x08" + STACK_GLOBAL
    programs = {
        "os.system": (fire, "os.system"),
        "posix.system": (call(name("posix", "system"), touch), "posix.system"),
        "subprocess": (call(name("subprocess", "getoutput"), touch), "subprocess.getoutput"),
        "eval": (call(name("builtins", "eval"), write), "builtins.eval"),
        "exec": (call(name("builtins", "exec"), write), "builtins.exec"),
        "eval of Python 2": (call(name("__builtin__", "eval"), write), "__builtin__.eval"),
        "open": (call(name("builtins", "open"), text(str(canary)), text("w")), "builtins.open"),
        "another open": (call(name("_io", "open"), text(str(canary)), text("w")), "_io.open"),
        "a method": (FOUR + call(name("pathlib", "Path.touch"), path), "pathlib.Path.touch"),
        "stack global": (FOUR + text("os") + text("system") + STACK_GLOBAL + tuple_of(touch) + REDUCE, "os.system"),
        "names from the memo": (FOUR + from_memo + tuple_of(touch) + REDUCE, "os.system"),
        "memo overwritten": (ORDERED_DICT + b"q\x00" + OS_SYSTEM + b"q\x00" + call(b"h\x00", touch), "os.system"),
        "getattr chain": (call(call(GETATTR, call(IMPORT, text("os")), text("system")), touch), "builtins.getattr"),
        "import": (call(IMPORT, text("os")) + b"0" + fire, "builtins.__import__"),
        "importlib": (call(name("importlib", "import_module"), text("os")) + b"0" + fire, "importlib.import_module"),
        "dotted name": (
            FOUR + text("shutil") + text("os.system") + STACK_GLOBAL + tuple_of(touch) + REDUCE,
            "shutil.os",
        ),
        "partial": (call(call(name("functools", "partial"), OS_SYSTEM, touch)), "functools.partial"),
        "methodcaller": (call(call(name("operator", "methodcaller"), text("touch")), path), "operator.methodcaller"),
        "attrgetter": (
            call(call(call(name("operator", "attrgetter"), text("system")), call(IMPORT, text("os"))), touch),
            "operator.attrgetter",
        ),
        "map": (
            call(name("builtins", "list"), call(name("builtins", "map"), OS_SYSTEM, tuple_of(touch))),
            "builtins.list",
        ),
        "INST": (MARK + touch + b"ios\nsystem\n", "INST"),
        "OBJ": (MARK + OS_SYSTEM + touch + b"o", "os.system"),
        "protocol 0": (f"cos\nsystem\n(S'touch {canary}'\ntR".encode(), "os.system"),
        "as a key": (b"}" + MARK + fire + b"Nu", "os.system"),
        "as a value": (b"}" + text("state") + fire + b"s", "os.system"),
        "as a dict's state": (call(ORDERED_DICT) + fire + BUILD, "os.system"),
        "deep inside": (MARK * 40 + fire + b"t" * 40, "os.system"),
        "thrown away": (fire + b"0N", "os.system"),
        "pickle in a pickle": (
            call(name("pickle", "loads"), b"B" + struct.pack("<I", len(inner)) + inner),
            "pickle.loads",
        ),
        "runstring": (call(name("numpy.testing", "runstring"), write, b"}"), "numpy.testing.runstring"),
        "timeit": (
            call(name("timeit", "timeit"), write, text("pass"), name("time", "time"), b"K\x01"),
            "timeit.timeit",
        ),
        "runpy": (
            call(name("runpy", "_run_code"), call(name("builtins", "compile"), write, text(""), text("exec")), b"}"),
            "runpy._run_code",
        ),
        "through numpy": (
            call(name("numpy", "frompyfunc"), OS_SYSTEM, b"K\x01", b"K\x01") + tuple_of(touch) + REDUCE,
            "numpy.frompyfunc",
        ),
    }
    return {what: (program + END, word) for what, (program, word) in programs.items()}


def twisted() -> Programs:
    """Programs that lie about sizes, misuse what is allowed, or name what may not be named."""
    objects = np.empty(1, dtype=object)
    nested_lists = b"]" * (MAX_DEPTH + 2) + b"a" * (MAX_DEPTH + 1)
    nested_tuples = b")" + b"\x85" * (MAX_DEPTH + 2)
    array = name("numpy.core.multiarray", "_reconstruct")
    not_storage = tuple_of(text("module"), name("torch", "FloatStorage"), text("import os"))
    programs = {
        "Popen by NEWOBJ": (name("subprocess", "Popen") + tuple_of(text("true")) + NEWOBJ, "subprocess.Popen"),
        "Popen by NEWOBJ_EX": (FOUR + name("subprocess", "Popen") + b")}\x92", "subprocess.Popen"),
        "NEWOBJ_EX": (FOUR + name("trajectory.utils.config", "Config") + b")}\x92", "NEWOBJ_EX"),
        "NEWOBJ with arguments": (CONFIG[:-2] + tuple_of(text("x")) + NEWOBJ, "trajectory.utils.config.Config"),
        "NEWOBJ of a function": (ORDERED_DICT + b")" + NEWOBJ, "collections.OrderedDict"),
        "copyreg": (call(name("copyreg", "_reconstructor"), name("builtins", "object")), "copyreg._reconstructor"),
        "EXT1": (b"\x82\x01", "EXT1"),
        "EXT2": (b"\x83\x01\x00", "EXT2"),
        "EXT4": (b"\x84\x01\x00\x00\x00", "EXT4"),
        "a class's state": (name("numpy", "ndarray") + dict_of(__new__=b"N") + BUILD, "numpy.ndarray"),
        "slots": (CONFIG + tuple_of(b"N", dict_of(x=b"N")) + BUILD, "state of a PlainObject"),
        "state of a list": (b"]" + dict_of(__class__=b"N") + BUILD, "list"),
        "a call of a text": (call(text("system"), text("true")), "value of type str"),
        "a call of a class": (call(name("numpy", "ndarray"), b"K\x01"), "numpy.ndarray"),
        "a call of a configured class": (call(name("trajectory.models.transformers", "GPT")), "transformers.GPT"),
        "a call without a tuple": (ORDERED_DICT + b"]" + REDUCE, "OrderedDict"),
        "OrderedDict of a list": (call(ORDERED_DICT, b"](]t" + b"a"), "collections.OrderedDict"),
        "another encoding": (call(name("_codecs", "encode"), text("x"), text("zip")), "_codecs.encode"),
        "an unknown memo entry": (b"h\x05", "memo entry 5"),
        "a persistent id": (text("os.system") + b"Q", "outside of the pickle"),
        "a persistent id in text": (b"Pos.system\n", "PERSID"),
        "a module as storage": (not_storage + b"Q", "outside of the pickle"),
        "a foreign storage": (storage(kind=name("numpy", "ndarray")), "outside of the pickle"),
        "a name that is no text": (FOUR + b"K\x01K\x02" + STACK_GLOBAL, "not text"),
        "a list as key": (b"}]Ns", "key of type list"),
        "a tuple as key": (b"})Ns", "key of type tuple"),
        "a set": (FOUR + b"\x8f", "EMPTY_SET"),
        "a frozen set": (FOUR + b"(\x91", "FROZENSET"),
        "an outside buffer": (b"\x80\x05\x97", "NEXT_BUFFER"),
        "nested lists": (nested_lists, "deep"),
        "nested tuples": (nested_tuples, "deep"),
        "a list in itself": (b"]q\x00h\x00a", "deep"),
        "thrown away": (b"N0N", "POP"),
        "in a huge frame": (FOUR + b"\x95" + struct.pack("<Q", 2**62) + OS_SYSTEM, "os.system"),
        "too many": (b"N" * (MAX_INSTRUCTIONS + 1), "instructions"),
        "an array of objects": (pickle.dumps(objects, protocol=2)[:-1], "numpy.dtype"),
        "a type with fields": (call(name("numpy", "dtype"), text("V8"), b"\x89", b"\x88"), "numpy.dtype"),
        "an array of another class": (call(array, ORDERED_DICT, b"(K\x00t", b"N"), "_reconstruct"),
        "a tensor of nothing": (tensor(text("storage")), "_rebuild_tensor_v2"),
    }
    for module, attribute in SIDE_DOORS:
        programs[f"{module}.{attribute}"] = (call(name(module, attribute), text("x")), f"{module}.{attribute}")
    return {what: (program + END, word) for what, (program, word) in programs.items()}


SIDE_DOORS = [
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.hub", "load"),
    ("torch.jit", "load"),
    ("torch._utils", "_rebuild_wrapper_subclass"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch.nn.modules.linear", "Linear"),
    ("numpy", "load"),
    ("numpy.core.multiarray", "fromfile"),
    ("marshal", "loads"),
    ("types", "FunctionType"),
    ("ctypes", "CDLL"),
    ("webbrowser", "open"),
    ("socket", "create_connection"),
    ("sys", "setrecursionlimit"),
    ("trajectory.utils.config", "Config.__init__"),
    ("collections", "OrderedDict.__class__"),
    ("trajectory.utils", "os.system"),
]

# Sizes that are not there: damage, not attacks; told as such, and without the memory that they claim.
TRUNCATED = {
    "a text of 4 GiB": b"X" + struct.pack("<I", 2**32 - 1) + b"x" + END,
    "bytes of 2 GiB": b"B" + struct.pack("<I", 2**31) + b"x" + END,
    "bytes of 4 EiB": FOUR + b"\x8e" + struct.pack("<Q", 2**62) + b"x" + END,
    "a bytearray of 4 EiB": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x" + END,
    "bytes of 16 EiB": FOUR + b"\x8e" + b"\xff" * 8 + END,
    "a number of 2 GiB": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x" + END,
    "a number of negative length": b"\x8b" + struct.pack("<i", -1) + END,
    "a number in a million digits": b"I" + b"9" * 1_000_000 + b"\n" + END,
    "no end": b"N",
    "nothing": b"",
    "no operands": REDUCE + END,
    "no mark": b"Nt" + END,
    "an unknown instruction": b"\xfe" + END,
    "an odd dictionary": b"}(" + text("x") + b"u" + END,
}
