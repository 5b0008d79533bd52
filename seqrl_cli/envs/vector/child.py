"""A process that plays environments for its parent, which may die or hang meanwhile."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict

import numpy as np

from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.vector.backend import EnvLayout, EnvSpec
from seqrl_cli.envs.vector.messages import FAILED, START, STEP, pack_start, pack_step, receive, send, unpack_failure
from seqrl_cli.envs.vector.process import PipedProcess


class Child:
    """A running process and its environments.

    Args:
        spec: the environments to make.
        timeout: seconds to wait for an answer.

    Raises:
        SeqrlError: they cannot be made.
        ProcessDiedError: the process did not survive it.
        NoAnswerError: it took too long.
    """

    def __init__(self, spec: EnvSpec, timeout: float) -> None:
        try:
            self._process = PipedProcess("seqrl_cli.envs.vector.worker", json.dumps(asdict(spec)))
        except OSError as error:
            message = f"no process for environment {spec.env_id} can be started: {error.strerror}"
            raise EnvironmentFailedError(message, "memory may be short") from error
        self._timeout = timeout
        try:
            self.layout = EnvLayout.from_json(self._ask())  # the process sends it unasked
            self._row = self.layout.row
        except BaseException:
            self.close()
            raise

    def start(self, index: int, seed: int) -> np.ndarray:
        """Reset an environment; returns the rows (E,) of all; raises what a question raises."""
        return np.frombuffer(self._ask(START, pack_start(index, seed)), self._row)

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Step the chosen environments; returns the rows (E,) of all; raises what a question raises."""
        return np.frombuffer(self._ask(STEP, pack_step(actions, chosen)), self._row)

    def close(self) -> None:
        """End the process, gently if it listens."""
        self._process.close()

    def _ask(self, *question: bytes) -> bytes:
        """Send a message's kind and body, or nothing, and wait for the answer.

        Raises:
            SeqrlError: what went wrong in the process.
            ProcessDiedError: it has ended.
            NoAnswerError: it took too long, and was ended.
        """
        process = self._process
        if process.has_ended:  # Ctrl-C ended it
            raise process.death()
        try:
            if question:
                with suppress(BrokenPipeError):  # the answer is missing, then
                    send(process.requests, *question)
            process.await_answer(self._timeout)
            kind, body = receive(process.answers)
        except EOFError:
            self.close()
            raise process.death() from None
        except BaseException:  # Ctrl-C: the answer, perhaps sent already, would be taken for that to another question
            process.kill()
            self.close()
            raise
        if kind == FAILED:
            raise unpack_failure(body)
        return body
