"""The entry point: ``seqrl`` and ``python -m seqrl_cli``."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; a polite kill is treated like Ctrl-C, so that work is saved."""
    from seqrl_cli.cli.app import app

    signal.signal(signal.SIGTERM, _stop)
    try:
        app(prog_name="seqrl")
    except BrokenPipeError:  # the reader of a pipe, `| head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
