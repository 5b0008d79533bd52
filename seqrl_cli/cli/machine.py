"""Error messages for exceptions that the machine causes: memory, paths, limits."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator

from seqrl_cli.console import byte_size
from seqrl_cli.errors import SeqrlError, UsageError, shortened_path

if sys.platform != "win32":
    import resource  # imported early: once memory is short, the import itself may fail

MIN_ADDRESS_SPACE = 10**9
"""Bytes; PyTorch, MuJoCo and their like take most of it, whatever is done with them."""

_LIMIT_HINT = "raise the limit: ulimit -v unlimited"
_NO_MEMORY = re.compile(r"allocate memory|out of memory|failed to map segment|bad_alloc", re.IGNORECASE)
_LOOP = "Symlink loop from "
_WRONG_PATH = (errno.ENAMETOOLONG, errno.ELOOP)


def machine_fault(error: BaseException) -> SeqrlError | None:
    """The error that the machine or a path caused, in words; None for any other."""
    if any(map(_lacks_memory, _chain(error))):
        limit = f", or {_LIMIT_HINT}" if _is_limited() else ""
        return SeqrlError("out of memory", f"try a smaller batch, beam or dataset{limit}")
    if isinstance(error, RuntimeError) and str(error).startswith(_LOOP):  # pathlib's, before Python 3.13
        return UsageError(
            f"{shortened_path(str(error).removeprefix(_LOOP))} is a link that leads to itself", "name a file"
        )
    if not isinstance(error, OSError) or not error.errno or not error.strerror:
        return None
    reason = error.strerror[:1].lower() + error.strerror[1:]
    if not isinstance(error.filename, str | bytes):
        return SeqrlError(f"the machine refuses: {reason}", "check its limits (ulimit -a) and its disks (df)")
    message = f"cannot use {shortened_path(error.filename)}: {reason}"
    if error.errno in _WRONG_PATH:
        return UsageError(message, "give another name")
    return SeqrlError(message, "check the path, its permissions and the disk")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those from which it arose."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _lacks_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    is_missing = isinstance(error, ModuleNotFoundError)
    if isinstance(error, ImportError | SystemError) and not is_missing and _is_limited():
        return True  # a library got too little to start
    return isinstance(error, ImportError | OSError | RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def require_address_space() -> None:
    """Stop before libraries that cannot load end the process without a word.

    Raises:
        SeqrlError: the user allows this process less than they take.
    """
    if _is_limited() and _address_space() < MIN_ADDRESS_SPACE:
        message = f"this process may take {byte_size(_address_space())} of memory, less than"
        raise SeqrlError(f"{message} the {byte_size(MIN_ADDRESS_SPACE)} that its libraries need", _LIMIT_HINT)


def require_current_folder() -> None:
    """Stop where paths have no meaning and PyTorch's libraries end the process.

    Raises:
        SeqrlError: the current folder was removed.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise SeqrlError("the current folder was removed", "change to another one: cd") from error


def _is_limited() -> bool:
    """Whether the user has limited the memory of this process."""
    return sys.platform != "win32" and _address_space() != resource.RLIM_INFINITY


def _address_space() -> int:
    return resource.getrlimit(resource.RLIMIT_AS)[0]
