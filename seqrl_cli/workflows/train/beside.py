"""A process beside training plays copies of the model, while training goes on."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from contextlib import suppress

from torch import Tensor, nn

from seqrl_cli.envs.vector.messages import unpack_failure
from seqrl_cli.envs.vector.process import PipedProcess, ProcessDiedError
from seqrl_cli.errors import SeqrlError
from seqrl_cli.tracking.metrics import Values
from seqrl_cli.workflows.train.player import Answer, Setup

_LOOK = 0.1  # seconds between looks whether to stop


class Beside:
    """Plays a run's model as it is at some update, one evaluation at a time.

    The process starts with the first evaluation. It shares nothing with training: it receives a copy of the weights
    and draws its own random numbers, so what is learned is the same whatever it does. If it dies, a new one plays the
    same weights, once. It ends with this process, however that ends.

    Args:
        setup: what the player is sent first.
        on_warning: called with the player's warnings.
    """

    def __init__(self, setup: Setup, on_warning: Callable[[str], None]) -> None:
        self._setup = setup
        self._packed: bytes | None = None
        self._on_warning = on_warning
        self._process: PipedProcess | None = None
        self._pool = ThreadPoolExecutor(1)
        self._closed = False

    def begin(self, model: nn.Module) -> Playing:
        """Begin to play a copy of the model; the previous evaluation has ended."""
        self._packed = self._packed or pickle.dumps(self._setup)
        weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
        return Playing(self._pool.submit(self._play, weights), self._on_warning)

    def close(self) -> None:
        """End the process at once: it has nothing to save, and environments in processes of their own end with it."""
        self._closed = True
        if (process := self._process) is not None:  # the pool's thread may forget it meanwhile
            process.kill()
            process.close()
        self._pool.shutdown(cancel_futures=True)

    def _play(self, weights: Mapping[str, Tensor]) -> Answer:
        """Send weights to the process, or to a new one in its place, and wait for the answer.

        Raises:
            SeqrlError: two processes died in a row, or none can be started.
        """
        for is_last in (False, True):
            try:
                return self._ask(weights)
            except ProcessDiedError as death:
                what = f"the process of the evaluation {death.how}"
                if is_last or self._closed:
                    raise SeqrlError(f"{what}, and so did the next one", death.hint) from None
                self._process = None
                self._on_warning(f"{what}: it is started again")
        raise AssertionError("the loop returns or raises")

    def _ask(self, weights: Mapping[str, Tensor]) -> Answer:
        """One evaluation.

        Raises:
            ProcessDiedError: the process has ended.
            SeqrlError: it cannot be started.
        """
        process = self._process or self._start()
        try:
            with suppress(BrokenPipeError):  # the answer is missing, then
                process.requests.write(pickle.dumps(weights))
                process.requests.flush()
            answer: Answer = pickle.load(process.answers)
            return answer
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):  # ValueError: it was closed
            process.close()
            raise process.death() from None

    def _start(self) -> PipedProcess:
        try:
            process = PipedProcess("seqrl_cli.workflows.train.player", "")
        except OSError as error:
            message = f"no process for the evaluation can be started: {error.strerror}"
            raise SeqrlError(message, "memory may be short; train without --eval-every") from error
        self._process = process
        if self._closed:  # too late for ``close`` to see it
            process.kill()
        with suppress(BrokenPipeError):  # the answer is missing, then
            process.requests.write(self._packed or b"")
            process.requests.flush()
        return process


class Playing:
    """See :class:`~seqrl_cli.training.evaluation.Pending`."""

    def __init__(self, answer: Future[Answer], on_warning: Callable[[str], None]) -> None:
        self._answer = answer
        self._on_warning = on_warning

    def is_ready(self) -> bool:
        """Whether the process has answered."""
        return self._answer.done()

    def result(self, should_stop: Callable[[], bool]) -> Values | None:
        """The numbers that it has answered; None if ``should_stop`` returns true before that.

        Raises:
            SeqrlError: the model cannot play, an environment broke, or the process died twice.
        """
        while not self._answer.done() and not should_stop():
            with suppress(TimeoutError):
                self._answer.exception(_LOOK)
        return self._values(self._answer.result()) if self._answer.done() else None

    def _values(self, answer: Answer) -> Values:
        for warning in answer.warnings:
            self._on_warning(warning)
        if answer.failure is not None:
            raise unpack_failure(answer.failure)
        if answer.fault is not None:
            raise RuntimeError(f"the process of the evaluation failed:\n{answer.fault}")
        assert answer.values is not None
        return answer.values
