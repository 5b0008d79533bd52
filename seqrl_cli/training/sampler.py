"""Shuffled batches without replacement, whose place in the stream can be written down and found again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.errors import SeqrlError


class Sampler:
    """Endless batches of indices: every epoch a new order of all, its last batch as short as it comes.

    Args:
        size: indices are below it; at least 1.
        batch_size: indices a batch.
        rng: draws the orders; owned by the sampler from here on.
    """

    def __init__(self, size: int, batch_size: int, rng: np.random.Generator) -> None:
        assert size >= 1 and batch_size >= 1
        self.size = size
        self.batch_size = batch_size
        self.epoch = 0
        self._position = 0
        self._rng = rng
        self._start_epoch()

    def next_batch(self) -> NDArray[np.int64]:
        """The next (batch,) indices."""
        if self._position >= self.size:
            self.epoch += 1
            self._start_epoch()
        batch = self._order[self._position : self._position + self.batch_size]
        self._position += len(batch)
        return batch

    @property
    def epoch_share(self) -> float:
        """How much of the current epoch was handed out, in [0, 1]."""
        return self._position / self.size

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as plain JSON values."""
        return {
            "size": self.size,
            "batch_size": self.batch_size,
            "epoch": self.epoch,
            "position": self._position,
            "rng": self._epoch_rng_state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state()``.

        Raises:
            SeqrlError: the state was taken over another number of windows, or with another batch size.
        """
        for name, mine in {"size": self.size, "batch_size": self.batch_size}.items():
            if state[name] != mine:
                raise SeqrlError(
                    f"the checkpoint was made with {name} {state[name]}, but the data at hand have {mine}",
                    "use the run's own dataset and settings, or start again with --force",
                )
        self._rng.bit_generator.state = state["rng"]
        self.epoch = state["epoch"]
        self._start_epoch()
        self._position = state["position"]

    def _start_epoch(self) -> None:
        """Draw the epoch's order, remembering the generator before it: that is shorter than the order itself."""
        self._epoch_rng_state = self._rng.bit_generator.state
        self._order = self._rng.permutation(self.size)
        self._position = 0
