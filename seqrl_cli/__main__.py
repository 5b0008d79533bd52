"""The entry point: ``seqrl`` and ``python -m seqrl_cli``."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

from seqrl_cli.stops import ignore_stops, interrupt_on_stops

SPINS = "2000"
"""How often a thread that waits for others polls before it sleeps, unless the user's environment sets it.

On an idle machine this is as fast as OpenMP's own 300,000 or more; on a busy one, where the other threads may not even
be running, it is two to three times as fast. GNU's OpenMP reads it when PyTorch loads.
"""


def main() -> None:
    """Run the command line; SIGTERM, SIGHUP and their like are treated like Ctrl-C, so that work is saved."""
    _open_closed_streams()
    _wait_for_readers()
    interrupt_on_stops()
    os.environ.pop("MPLBACKEND", None)  # figures go to files, and Matplotlib cannot be imported with a wrong one
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
    except MemoryError:  # so little is left that not even the command could say so
        print("error: out of memory", file=sys.stderr)
        sys.exit(1)
    finally:
        ignore_stops()  # Python takes a moment to end, and the exit code is decided


def _open_closed_streams() -> None:
    """Give what was started without stdin, stdout or stderr an empty one.

    Else the next file that is opened becomes it, a dataset or a library's pipe.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or os.fdopen(0, "r")
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _wait_for_readers() -> None:
    """Let output wait where nobody reads it; a stream that another program left non-blocking would drop it."""
    for number in (1, 2):
        with suppress(OSError):
            os.set_blocking(number, True)


if __name__ == "__main__":
    main()
