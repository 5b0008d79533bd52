"""The process that plays environments for another one; ``subprocess.py`` starts it and exchanges messages with it.

It imports only what the environments need, leaves signals to stop to its parent process, and ends with it.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from contextlib import closing, suppress
from functools import partial
from io import BufferedReader, BufferedWriter
from typing import IO

from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector.backend import EnvSpec
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.messages import DONE, FAILED, START, pack_failure, receive, send, unpack_start, unpack_step
from seqrl_cli.errors import SeqrlError
from seqrl_cli.stops import kill_group, leave_stops_to_parent

_GRACE = 3.0  # seconds for a step to end after the parent has gone


def main(spec: str) -> None:
    """Make the environments that the JSON ``spec`` describes, and follow the messages of stdin until it ends."""
    leave_stops_to_parent()
    requests, answers = _own_streams()
    if hasattr(select, "poll"):  # not on Windows: a step that never ends outlives a killed parent there
        threading.Thread(target=_end_with_parent, args=(requests,), daemon=True).start()
    with suppress(EOFError, BrokenPipeError):
        try:
            wanted = EnvSpec(**json.loads(spec))
            accept(wanted.env_id)  # the parent process has checked it
            backend = InProcessBackend(wanted)
        except SeqrlError as error:
            send(answers, FAILED, pack_failure(error))
            return
        with closing(backend):
            send(answers, DONE, backend.layout.to_json())
            while True:
                _answer(backend, *receive(requests), answers)


def _answer(backend: InProcessBackend, kind: bytes, body: bytes, answers: IO[bytes]) -> None:
    try:
        if kind == START:
            backend.start(*unpack_start(body))
        else:
            backend.step(*unpack_step(body, len(backend.rows), backend.layout.spaces.action.shape))
    except SeqrlError as error:  # an environment's failure, or a user's mistake that it reports
        send(answers, FAILED, pack_failure(error))
    else:
        send(answers, DONE, backend.rows.tobytes())


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
