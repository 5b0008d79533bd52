"""Run a command that kills itself: ``python -m tests.campaigns.dying FOLDER N COUNTED WORDS…``.

It dies, as by ``kill -9``, before its N-th operation on a path in the folder that changes it: opening for writing,
renaming, removing, making a folder. If it ends before, the number of these operations is written to the file COUNTED.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from pathlib import Path

from seqrl_cli.__main__ import main

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")


def die_at(folder: str, number: int, counted: Path) -> None:
    """Kill this process before its ``number``-th change below ``folder``; with 0 only count."""
    done = 0

    def notice(event: str, arguments: tuple) -> None:
        nonlocal done
        if event == "open":
            path, mode, flags = arguments
            changes = bool(flags & (os.O_WRONLY | os.O_RDWR)) or any(letter in (mode or "") for letter in "wax+")
        else:
            path, changes = (arguments or [""])[0], event in CHANGES
        if changes and isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(folder):
            done += 1
            if done == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(notice)
    atexit.register(lambda: counted.write_text(str(done)))


if __name__ == "__main__":
    where, at, to, *words = sys.argv[1:]
    die_at(where, int(at), Path(to))
    sys.argv = ["seqrl", *words]
    main()
