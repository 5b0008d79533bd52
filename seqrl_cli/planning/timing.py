"""How long a step of planning takes, measured by a few of them."""

from __future__ import annotations

import math
import time
from contextlib import suppress

import numpy as np

from seqrl_cli.planning.rollout import Rollout

STEPS = 6
"""Steps that count, once the model's context is full, or as many as there are between two searches."""


class _EnoughError(Exception):
    """Enough steps were measured."""


def seconds_per_step(rollout: Rollout, context: int, plan_freq: int = 1, patience: float = 10.0) -> float:
    """Median seconds to plan and execute one step in all environments of a rollout, whose episodes are discarded.

    An environment whose episode ends takes the next one, so all of them run in every step. The steps of the first
    search, which has costs of its own, do not count.

    Args:
        rollout: a fresh rollout.
        context: transitions until the model's context is full.
        plan_freq: steps from search to search, whose times are averaged.
        patience: seconds after which no further steps are measured, once there were two searches.

    Raises:
        SeqrlError: an environment failed.
    """
    times = [time.perf_counter()]
    wanted = math.ceil(max(context + STEPS, 2 * plan_freq) / plan_freq) * plan_freq

    def on_step(_running: int, _finished: int) -> None:
        times.append(time.perf_counter())
        made = len(times) - 1
        is_late = made >= 2 * plan_freq and times[-1] - times[0] > patience
        if made >= wanted or (is_late and made % plan_freq == 0):
            raise _EnoughError

    with suppress(_EnoughError):
        rollout.play(range(len(rollout.vector) * wanted), lambda record: None, on_step)
    searches = np.diff(times).reshape(-1, plan_freq).mean(axis=1)
    return float(np.median(searches[1:][-math.ceil(STEPS / plan_freq) :]))
