"""How long a step of planning takes, measured by a few of them."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np

from seqrl_cli.planning.rollout import Rollout

STEPS = 6
"""Steps that count, once the model's context is full."""

_LEAST = 2  # steps, however long they take


class _EnoughError(Exception):
    """Enough steps were measured."""


def seconds_per_step(rollout: Rollout, context: int, patience: float = 10.0) -> float:
    """Median seconds to plan and execute one step in all environments of a rollout, which plays on for nobody.

    An environment whose episode ends takes the next one, so all of them run in every step. The first step, which has
    costs of its own, does not count.

    Args:
        rollout: fresh.
        context: transitions until the model's context is full.
        patience: seconds after which the steps so far must do.

    Raises:
        SeqrlError: an environment failed.
    """
    times = [time.perf_counter()]

    def on_step(_running: int, _finished: int) -> None:
        times.append(time.perf_counter())
        made = len(times) - 1
        if made >= context + STEPS or (made >= _LEAST and times[-1] - times[0] > patience):
            raise _EnoughError

    with suppress(_EnoughError):
        rollout.play(range(len(rollout.vector) * (context + STEPS)), lambda record: None, on_step)
    return float(np.median(np.diff(times)[1:][-STEPS:]))
