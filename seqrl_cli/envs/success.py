"""Whether an environment says that its task is solved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_KEYS = ("success", "is_success")  # Meta-World's name; that of gymnasium-robotics and Stable-Baselines3


def stated_success(info: Mapping[str, Any]) -> bool | None:
    """Whether a step's info says that the task is solved; None if it says nothing.

    An array of one value, as a vector of one environment gives it, counts as that value. Such a vector marks values
    that it does not have by a second array, ``_success``.
    """
    for key in _KEYS:
        if info.get(key) is not None and np.all(info.get(f"_{key}", True)):
            return bool(np.all(info[key]))
    return None
