"""Where the time of planning goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Profile:
    """Seconds spent in each part of a rollout.

    On a GPU a part has the time that it takes to queue its work, and what waits for a result has the rest: sampling.

    Attributes:
        seconds: seconds by part (``prefill``, ``decode``, ``sampling``, ``environment``, ``io``), each without the
            parts that are measured inside it.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("prefill", "decode", "sampling", "environment", "io"), 0.0)
        self._inside = 0.0

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time spent in the block to a part, less the time that is measured inside it."""
        before = self._inside
        self._inside = 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[part] += elapsed - self._inside
            self._inside = before + elapsed
