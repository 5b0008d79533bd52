"""The end of what a process printed to a log: its last lines, and the error that it gave up with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seqrl_cli.files.regular import open_regular

_TAIL_BYTES = 4000
_ERROR = "error: "


def last_lines(log: Path) -> list[str]:
    """The last lines of a log; the first of them may lack its beginning.

    Raises:
        OSError: there is no such file, or it cannot be opened.
    """
    with open_regular(log) as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()


def last_error(lines: Sequence[str]) -> str:
    """The last error among lines that a command printed, without its mark; empty if there is none."""
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return errors[-1] if errors else ""
