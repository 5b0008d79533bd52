"""A decoder whose time is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from seqrl_cli.models.decoding.interface import Decoder, RecurrentDecoder
from seqrl_cli.planning.profile import Profile


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
