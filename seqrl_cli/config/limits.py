"""Limits that options of the command line share with keys of the configuration."""

from __future__ import annotations

import re

MAX_SEED = 2**64 - 1
"""PyTorch's generators take no larger one."""

MAX_COUNT = 10**15
"""The largest whole number of a key that states no limit of its own; indices and sizes of arrays are counted in it."""

MAX_PROCESSES = 1024
"""The most threads, processes and runs at a time that a command starts; no machine has more cores for one."""

MAX_FRAMES = 1_000_000
"""The most steps from one frame of a video to the next."""

MAX_PARTS = 10_000
"""The most members of a pool of adapters, tokens of a prompt, and trials of a search."""

_UNITS = {"": 2**30, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def memory_bytes(text: str) -> int:
    """The bytes of an amount of memory as people write it: ``2GiB``, ``500 MB``, or ``2``, which is 2 GiB.

    Raises:
        ValueError: the text is something else.
    """
    written = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)\s*", text)
    if written is None or written[2].lower() not in _UNITS:
        raise ValueError("an amount of memory is written as 2GiB or 500MB")
    return int(float(written[1]) * _UNITS[written[2].lower()])
