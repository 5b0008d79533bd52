"""The C++ of this folder as a shared library: compiled when it is first asked for, and kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

from seqrl_cli.errors import SeqrlError

FOLDER = Path(__file__).parent

FLAGS = ["-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fPIC", "-fopenmp", "-c"]
"""Nothing that lets sums be reordered: a row must come out the same, bit for bit, in any block."""

Address, Count = ctypes.c_void_p, ctypes.c_int64


class CannotCompile(SeqrlError):
    """There is no compiler, or it cannot compile or link this."""


class Linear(ctypes.Structure):
    """``Linear`` of linear.h."""

    _fields_ = [("weights", Address), ("bias", Address), ("inputs", Count), ("outputs", Count)]


class Layer(ctypes.Structure):
    """``Layer`` of gpt.cpp."""

    _fields_ = [(name, Linear) for name in ("qkv", "projection", "mlp_in", "mlp_out")]


class Shape(ctypes.Structure):
    """``Shape`` of attention.h."""

    _fields_ = [(name, Count) for name in ("heads", "head_dim", "head_width", "columns", "lanes")]


class Pages(ctypes.Structure):
    """``Pages`` of attention.h."""

    _fields_ = [("memory", Address), ("capacity", Count), ("closed", Count)]


class Model(ctypes.Structure):
    """``Model`` of gpt.cpp."""

    _fields_ = [
        ("layers", Count),
        ("width", Count),
        ("shape", Shape),
        ("layer", ctypes.POINTER(Layer)),
        ("embedding", Address),
        ("positions", Address),
    ]


class Call(ctypes.Structure):
    """``Call`` of gpt.cpp."""

    _fields_ = [
        *[(name, Count) for name in ("units", "span", "steps")],
        *[(name, Address) for name in ("order", "tokens", "first_row", "position", "table", "stem", "own")],
        *[(name, Count) for name in ("closed_pages", "split", "column", "keeps")],
        *[(name, Pages) for name in ("closed", "open", "target")],
        ("heads", ctypes.POINTER(Linear)),
        ("outputs", Count),
        ("chosen", Address),
        ("logits", Address),
    ]


@cache
def load() -> ctypes.CDLL:
    """The library.

    Raises:
        CannotCompile: it cannot be had on this machine.
    """
    compiler = find_compiler()
    if compiler is None:
        raise CannotCompile(
            "there is no C++ compiler on this machine", "install g++ or clang++, or use plan.engine=torch"
        )
    path = _cache_folder() / f"seqrl-{_fingerprint(compiler)}.so"
    with FileLock(path.with_suffix(".lock")):
        try:
            return _open(path)
        except OSError:  # not there, or cut short, or not for this machine after all
            _compile(compiler, path)
    try:
        return _open(path)
    except OSError as error:
        raise CannotCompile(f"the compiled decoder cannot be loaded: {error}", "use plan.engine=torch") from error


def find_compiler() -> str | None:
    """The C++ compiler's path, the first of the usual names'."""
    return next((found for name in ("g++", "clang++", "c++") if (found := shutil.which(name))), None)


def _compile(compiler: str, path: Path) -> None:
    """Make the shared library at ``path``, whole or not at all.

    OpenMP's symbols stay open when linking: the process has PyTorch's OpenMP already, whose threads are to be used, not
    a second team that would compete with the first.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / "whole.so"
        parts = {source: str(Path(folder) / f"{source.stem}.o") for source in sorted(FOLDER.glob("*.cpp"))}
        commands = [[compiler, *FLAGS, str(source), "-o", part] for source, part in parts.items()]
        for command in (*commands, [compiler, "-shared", *parts.values(), "-o", str(whole)]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
                raise CannotCompile(f"{compiler} cannot compile the decoder: {reason}", "use plan.engine=torch")
        whole.replace(path)


def _open(path: Path) -> ctypes.CDLL:
    """Load the library, if it is the user's own; raises OSError."""
    if path.stat().st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to somebody else")
    library = ctypes.CDLL(str(path))
    for name in ("lanes", "panel"):
        getattr(library, name).restype = Count
    pages, model = ctypes.POINTER(Pages), ctypes.POINTER(Model)
    library.forward.argtypes = [model, ctypes.POINTER(Call), ctypes.c_int]
    library.join.argtypes = [model, pages, pages, Count, Address, Address, Address, Count, Count, ctypes.c_int]
    rows, result = (Address, Count, Count), (Address, Address, Count, Count)
    library.multiply.argtypes = [ctypes.POINTER(Linear), *rows, *result, ctypes.c_int]
    library.forward.restype = library.join.restype = library.multiply.restype = None
    return library


def _fingerprint(compiler: str) -> str:
    """What the compiled library depends on: sources, flags, compiler, processor and PyTorch, whose OpenMP it uses."""
    known = hashlib.sha256()
    for source in sorted(FOLDER.glob("*.h")) + sorted(FOLDER.glob("*.cpp")):
        known.update(source.read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    known.update(repr([FLAGS, version, _processor(), torch.__version__]).encode())
    return known.hexdigest()[:16]


def _processor() -> str:
    """What ``-march=native`` goes by, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.platform()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _cache_folder() -> Path:
    """Where compiled libraries are kept; a temporary folder where the cache cannot be written."""
    folder = Path.home() / ".cache" / "seqrl"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="seqrl-"))
