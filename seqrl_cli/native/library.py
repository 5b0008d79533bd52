"""The C++ of this folder as a shared library, compiled when it is first used and kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.locks import FileLock
from seqrl_cli.native.structs import Address, Count, ForwardCall, GPTWeights, PackedLinear, PagePool, PageShape
from seqrl_cli.native.trust import UntrustedError, check_folder, trusted

FOLDER = Path(__file__).parent

FLAGS = [
    *("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fPIC", "-fopenmp", "-c"),
    "--param=avoid-fma-max-bits=0",  # else GCC fuses for AMD's processors in some loops, and not in equal ones
]
"""No flag may allow reordering sums: a row must have the same result, bit for bit, in any block."""

HINT = "install g++, or use plan.engine=torch"

TIMEOUT = 120.0
"""Most seconds for the compiler, a hundred times what it needs; other processes wait as long for its lock."""

KEPT_DAYS = 30
"""Days that libraries of other versions stay in the cache."""


class CompilationError(SeqrlError):
    """There is no compiler, or it failed."""


class UnsupportedSystemError(CompilationError):
    """Nothing is compiled on this operating system."""


def load() -> ctypes.CDLL:
    """Load the library, and compile it first if necessary.

    Raises:
        CompilationError: the library cannot be compiled on this machine.
    """
    found = outcome()
    if isinstance(found, CompilationError):
        raise found
    return found


def available() -> bool:
    """Whether the library is available on this machine."""
    return not isinstance(outcome(), CompilationError)


@cache
def outcome() -> ctypes.CDLL | CompilationError:
    """The library, or the reason for its absence; determined once per process, unless this cache is cleared."""
    if sys.platform != "linux":
        return UnsupportedSystemError("C++ is compiled on Linux only")
    compiler = find_compiler()
    if compiler is None:
        return CompilationError("there is no C++ compiler", HINT)
    failures = (OSError, RuntimeError, subprocess.SubprocessError)
    try:
        try:
            return _library_in(_cache_folder(), compiler)
        except failures:  # no home folder, one without write or execute permission, or one that others can write
            with tempfile.TemporaryDirectory(prefix="seqrl-") as folder:
                return _library_in(Path(folder), compiler)
    except CompilationError as error:
        return error
    except failures as error:
        return CompilationError(f"the C++ cannot be compiled: {error}", HINT)


def cache_warning() -> str:
    """Why the compiled library is not kept, if others could change it where it is kept, and what to do; else empty."""
    try:
        _cache_folder()
    except UntrustedError as error:
        return f"{error}, so the C++ is compiled for each command anew (chmod 700, or remove it)"
    except (OSError, RuntimeError):  # no home folder, or one without write permission, as on many servers
        return ""
    return ""


def find_compiler() -> str | None:
    """The path of the C++ compiler; Clang lacks GCC's shuffles of vectors."""
    return shutil.which("g++")


def _library_in(folder: Path, compiler: str) -> ctypes.CDLL:
    """Load the library from a folder, and compile it first if it is not there."""
    path = folder / f"seqrl-{_fingerprint(compiler)}.so"
    with FileLock(path.with_suffix(".lock"), timeout=TIMEOUT):
        try:
            return _open(path)
        except OSError:  # absent, incomplete, or for another machine
            _compile(compiler, path)
            _remove_old(folder)
    return _open(path)


def _compile(compiler: str, path: Path) -> None:
    """Write the shared library to ``path``, whole or not at all.

    It is linked without OpenMP: the process already has PyTorch's, and a second pool of threads would compete with it.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / "whole.so"
        objects = {source: str(Path(folder) / f"{source.stem}.o") for source in sorted(FOLDER.glob("*.cpp"))}
        commands = [[compiler, *FLAGS, str(source), "-o", made] for source, made in objects.items()]
        for command in (*commands, [compiler, "-shared", *objects.values(), "-o", str(whole)]):
            done = _run(command)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                reason = next((line for line in lines if "error" in line), lines[-1])
                raise CompilationError(f"{compiler} failed: {reason}", HINT)
        digest = Path(folder) / "whole.sha256"
        digest.write_text(hashlib.sha256(whole.read_bytes()).hexdigest())
        whole.chmod(0o700)
        digest.chmod(0o600)
        digest.replace(path.with_suffix(".sha256"))
        whole.replace(path)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=TIMEOUT)


def _remove_old(folder: Path) -> None:
    """Remove old libraries of other versions and old leftovers of killed compilers."""
    for old in (*folder.glob("seqrl-*"), *folder.glob("tmp*")):
        if time.time() - old.lstat().st_mtime > KEPT_DAYS * 86400:
            is_folder = old.is_dir() and not old.is_symlink()
            shutil.rmtree(old, ignore_errors=True) if is_folder else old.unlink(missing_ok=True)


def _open(path: Path) -> ctypes.CDLL:
    """Load the library if it is whole and nobody else can write it; an incomplete one could crash. Raises OSError."""
    with trusted(path.with_suffix(".sha256")) as descriptor:
        expected = os.pread(descriptor, 64, 0)
    with trusted(path) as descriptor:
        content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        if hashlib.sha256(content).hexdigest().encode() != expected:
            raise OSError(f"{path} does not match its hash")
        library = _load_from(descriptor, path)
    for name in ("lanes", "panel", "page_size", "call_size", "model_size"):
        getattr(library, name).restype = Count
    assert library.call_size() == ctypes.sizeof(ForwardCall) and library.model_size() == ctypes.sizeof(GPTWeights)
    library.page_size.argtypes = [ctypes.POINTER(PageShape), ctypes.c_bool]
    pages = ctypes.POINTER(PagePool)
    model = ctypes.POINTER(GPTWeights)
    library.forward.argtypes = [model, ctypes.POINTER(ForwardCall), ctypes.c_int]
    library.join.argtypes = [model, pages, pages, Count, Address, Address, Address, Count, Count, ctypes.c_int]
    rows = (Address, Count, Count)
    result = (Address, Address, Count, Count)
    library.multiply.argtypes = [ctypes.POINTER(PackedLinear), *rows, *result, ctypes.c_int]
    library.forward.restype = library.join.restype = library.multiply.restype = None
    return library


def _load_from(descriptor: int, path: Path) -> ctypes.CDLL:
    """Load the very file that was checked.

    The loader knows libraries by their names. This name keeps its meaning because a copy of the descriptor stays open.
    """
    if not Path("/proc/self/fd").is_dir():
        return ctypes.CDLL(str(path))
    kept = os.dup(descriptor)
    try:
        return ctypes.CDLL(f"/proc/self/fd/{kept}")
    except OSError:
        os.close(kept)
        raise


def _fingerprint(compiler: str) -> str:
    """A hash of what the library depends on: sources, flags, compiler, processor and PyTorch, whose OpenMP it uses."""
    known = hashlib.sha256()
    for source in sorted(FOLDER.glob("*.h")) + sorted(FOLDER.glob("*.cpp")):
        known.update(source.read_bytes())
    version = _run([compiler, "--version"]).stdout
    known.update(repr([FLAGS, version, _processor(), torch.__version__]).encode())
    return known.hexdigest()[:16]


def _processor() -> str:
    """What determines ``-march=native``, from /proc/cpuinfo; without it, the machine's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return f"{platform.platform()} {platform.node()}"
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _cache_folder() -> Path:
    """The folder of compiled libraries; raises OSError or RuntimeError if there is none that can be trusted."""
    folder = Path.home() / ".cache" / "seqrl"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} is not writable")
    return folder
