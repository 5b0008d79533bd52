"""Where the time of planning goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor

from seqrl_cli.models.decoding.interface import Decoder, RecurrentDecoder


class Profile:
    """Seconds spent in each part of a rollout.

    On a GPU a part has the time that it takes to queue its work, and what waits for a result has the rest: sampling.

    Attributes:
        seconds: by part (``prefill``, ``decode``, ``sampling``, ``environment``, ``io``), each without the parts that
            are measured inside it.
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


class TimedDecoder(Decoder):
    """A decoder that adds its running time to a profile."""

    def __init__(self, decoder: Decoder, profile: Profile) -> None:
        self.bins = decoder.bins
        self.observation_dim = decoder.observation_dim
        self.action_dim = decoder.action_dim
        self.device = decoder.device
        self.compiled = decoder.compiled
        self._decoder = decoder
        self._profile = profile

    def prefill(self, tokens: Tensor) -> tuple[Tensor, Any]:
        """See :meth:`Decoder.prefill`."""
        with self._profile.measure("prefill"):
            return self._decoder.prefill(tokens)

    def with_state(self, states: Sequence[Any]) -> TimedDecoder:
        """See :meth:`RecurrentDecoder.with_state`."""
        return TimedDecoder(cast(RecurrentDecoder, self._decoder).with_state(states), self._profile)

    def update_state(self, tokens: Tensor) -> list[Any]:
        """See :meth:`RecurrentDecoder.update_state`."""
        with self._profile.measure("prefill"):
            return cast(RecurrentDecoder, self._decoder).update_state(tokens)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See :meth:`Decoder.step`."""
        with self._profile.measure("decode"):
            return self._decoder.step(tokens, state)

    def greedy(self, logits: Tensor, state: Any, count: int) -> tuple[Tensor, Tensor, Any]:
        """See :meth:`Decoder.greedy`."""
        with self._profile.measure("decode"):
            return self._decoder.greedy(logits, state, count)

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """See :meth:`Decoder.cache_bytes`."""
        return self._decoder.cache_bytes(beam_width, n_expand, horizon)
