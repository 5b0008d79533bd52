"""The entry point: ``seqrl`` and ``python -m seqrl_cli``."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

SPINS = "2000"
"""How often a thread that waits for others polls before it sleeps, unless the user's environment sets it.

On an idle machine this is as fast as OpenMP's own 300,000 or more; on a busy one, where the other threads may not even
be running, it is two to three times as fast. GNU's OpenMP reads it when PyTorch loads.
"""


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; SIGTERM is treated like Ctrl-C, so that work is saved."""
    signal.signal(signal.SIGTERM, _stop)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
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
