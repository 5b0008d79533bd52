"""Evaluations in the middle of training, which leave what is learned unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from seqrl_cli.models.build import device_of
from seqrl_cli.tracking.metrics import Values
from seqrl_cli.training.rng import preserve_rng_state

Evaluate: TypeAlias = Callable[[nn.Module, Callable[[], bool]], Values | None]
"""Measures a model and returns numbers by name; None if the function that it is given returns true before it ends."""


@dataclass(frozen=True)
class Evaluation:
    """When to evaluate, and how.

    Attributes:
        every: updates between evaluations.
        evaluate: plays the model, whatever its architecture.
        is_done: whether the evaluation after so many updates has been logged.
        logged: its numbers as they were logged; None if it has not been.
    """

    every: int
    evaluate: Evaluate
    is_done: Callable[[int], bool]
    logged: Callable[[int], Values | None] = lambda step: None

    def is_due(self, step: int) -> bool:
        """Whether the model is evaluated after ``step`` updates."""
        return step > 0 and step % self.every == 0

    def run(self, model: nn.Module, should_stop: Callable[[], bool]) -> Values | None:
        """The numbers of a model, whose mode and random numbers stay as they are; None if it was stopped."""
        was_training = model.training
        try:
            with preserve_rng_state(device_of(model)):
                return self.evaluate(model.eval(), should_stop)
        finally:
            model.train(was_training)
