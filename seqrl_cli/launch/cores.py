"""How many processor cores there are to share out."""

from __future__ import annotations

import math
import os

from seqrl_cli.files.control_groups import processors


def available_cores() -> int:
    """Cores that this process may use, possibly fewer than the machine has: a container may have a share of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([cores, *(max(1, math.ceil(share)) for share in processors())])
