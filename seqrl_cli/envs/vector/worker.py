"""The process that plays environments for another one; ``subprocess.py`` starts it and exchanges messages with it.

It imports only what the environments need, leaves signals to stop to its parent process, and ends with it.
"""

from __future__ import annotations

import json
from contextlib import closing, suppress
from typing import IO

from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector.backend import EnvSpec
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.messages import DONE, FAILED, START, pack_failure, receive, send, unpack_start, unpack_step
from seqrl_cli.envs.vector.streams import serve_parent
from seqrl_cli.errors import SeqrlError


def main(spec: str) -> None:
    """Make the environments that the JSON ``spec`` describes, and follow the messages of stdin until it ends."""
    requests, answers = serve_parent()
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
