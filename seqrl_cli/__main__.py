"""The entry point: ``seqrl`` and ``python -m seqrl_cli``."""

from __future__ import annotations

import io
import signal
import sys
from types import FrameType


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; a polite kill is treated like Ctrl-C, so that work is saved."""
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows a question mark, not a fault
    try:
        from seqrl_cli.cli.app import app

        app(prog_name="seqrl")
    except KeyboardInterrupt:  # before a command began, or after it ended
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
