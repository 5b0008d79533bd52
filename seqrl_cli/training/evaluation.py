"""Evaluations in the middle of training, which leave what is learned unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import nn

from seqrl_cli.models.build import device_of
from seqrl_cli.tracking.metrics import Values
from seqrl_cli.training.rng import preserve_rng_state

Evaluate: TypeAlias = Callable[[nn.Module, Callable[[], bool]], Values | None]
"""Measures a model and returns numbers by name; None if the function that it is given returns true before it ends."""


class Pending(Protocol):
    """An evaluation that has begun, of the model as it was then."""

    def is_ready(self) -> bool:
        """Whether its numbers are there, or can be had only while the model stays as it is."""

    def result(self, should_stop: Callable[[], bool]) -> Values | None:
        """Wait for the numbers; None if ``should_stop`` returns true before they are there.

        Raises:
            SeqrlError: the evaluation failed.
        """


@dataclass(frozen=True)
class Evaluation:
    """When to evaluate, and how.

    Attributes:
        every: updates between evaluations.
        begin: begins to play a model, whatever its architecture. Training goes on meanwhile if the result is not ready.
        is_done: whether the evaluation after so many updates has been logged.
        logged: the evaluation's numbers as they were logged; None if it has not been.
    """

    every: int
    begin: Callable[[nn.Module], Pending]
    is_done: Callable[[int], bool]
    logged: Callable[[int], Values | None] = lambda step: None

    def is_due(self, step: int) -> bool:
        """Whether the model is evaluated after ``step`` updates."""
        return step > 0 and step % self.every == 0


def in_place(evaluate: Evaluate) -> Callable[[nn.Module], Pending]:
    """Evaluations in the process that trains, which waits for them; see :attr:`Evaluation.begin`."""
    return lambda model: _InPlace(model, evaluate)


@dataclass(frozen=True)
class _InPlace:
    """An evaluation that plays the model itself, when it is asked for its result."""

    model: nn.Module
    evaluate: Evaluate

    def is_ready(self) -> bool:
        """See :class:`Pending`."""
        return True

    def result(self, should_stop: Callable[[], bool]) -> Values | None:
        """The numbers of the model, whose mode and random numbers stay as they are."""
        was_training = self.model.training
        try:
            with preserve_rng_state(device_of(self.model)):
                return self.evaluate(self.model.eval(), should_stop)
        finally:
            self.model.train(was_training)
