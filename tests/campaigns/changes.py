"""What a process changes below a folder, as Python's audit events tell it before each change."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.link", "os.symlink")


def notice_changes(folder: Path, notice: Callable[[], None]) -> None:
    """From now on call ``notice`` before this process changes a file or folder below ``folder``.

    Opening for writing counts as a change, and what is written to the open file does not. What programs do that this
    process starts is not noticed.
    """
    busy = False

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy or not _is_change(event, arguments) or not _is_below(folder, arguments):
            return
        busy = True
        try:
            notice()
        finally:
            busy = False

    sys.addaudithook(hear)


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event != "open":
        return event in CHANGES
    _, mode, flags = arguments
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    return bool(flags & writes) or any(letter in (mode or "") for letter in "wax+")


def _is_below(folder: Path, arguments: tuple[Any, ...]) -> bool:
    """Whether the path is; a name within an open folder counts, since removing a tree uses such names."""
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    name = os.fsdecode(path)
    return os.path.abspath(name).startswith(str(folder))
