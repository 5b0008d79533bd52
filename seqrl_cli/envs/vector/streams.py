"""The end of a pipe in a worker process: what it is asked, what it answers, and its end with its parent."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from functools import partial
from io import BufferedReader, BufferedWriter
from typing import IO

from seqrl_cli.stops import kill_group, leave_stops_to_parent

_GRACE = 3.0  # seconds for a step to end after the parent has gone


def serve_parent() -> tuple[BufferedReader, BufferedWriter]:
    """Leave signals to stop to the parent, end with it, and return the streams of requests and of answers."""
    leave_stops_to_parent()
    requests, answers = _own_streams()
    if hasattr(select, "poll"):  # not on Windows: a step that never ends outlives a killed parent there
        threading.Thread(target=_end_with_parent, args=(requests,), daemon=True).start()
    return requests, answers


def _own_streams() -> tuple[BufferedReader, BufferedWriter]:
    """Stdin and stdout, out of reach of environments that read or print; their output goes to stderr."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
        os.register_at_fork(after_in_child=partial(_close_pipes, requests, answers))
    return requests, answers


def _close_pipes(requests: BufferedReader, answers: BufferedWriter) -> None:
    """Close the pipe in a process that an environment forks: else it would hide the death of this process."""
    for stream in (requests, answers):
        stream.raw.close()  # not the buffer: a thread that was not forked may hold its lock


def _end_with_parent(requests: IO[bytes]) -> None:
    """End when the parent is killed, even during a step that never ends."""
    watch = select.poll()
    watch.register(requests, 0)  # only the closing of the other end
    watch.poll()
    time.sleep(_GRACE)
    kill_group(os.getpid())
    os._exit(1)
