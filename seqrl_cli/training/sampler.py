"""Shuffled batches without replacement; the position in the stream can be saved and restored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_fields import count_field


class Sampler:
    """Endless batches of indices; each epoch is a new permutation, and its last batch may be short.

    Args:
        size: number of indices, at least 1.
        batch_size: indices per batch.
        rng: draws the permutations; the sampler owns it from now on.
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
    def epoch_fraction(self) -> float:
        """Fraction of the current epoch that was handed out, in [0, 1]."""
        return self._position / self.size

    def state(self) -> dict[str, Any]:
        """The position in the stream, as plain JSON values."""
        return {
            "size": self.size,
            "batch_size": self.batch_size,
            "epoch": self.epoch,
            "position": self._position,
            "rng": self._epoch_rng_state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned.

        Raises:
            SeqrlError: the state has another number of indices or another batch size.
            JsonFieldError: a position in it is not a whole number.
            ValueError: its position is beyond the indices.
        """
        for name, mine in {"size": self.size, "batch_size": self.batch_size}.items():
            if state[name] != mine:
                raise SeqrlError(
                    f"the checkpoint has {name} {state[name]}, but this run has {mine}",
                    "use the run's own dataset and settings, or start over with --force",
                )
        epoch, position = count_field(state, "epoch"), count_field(state, "position")
        if position > self.size:
            raise ValueError(f"position {position} in epoch {epoch} is outside the {self.size} indices")
        self._rng.bit_generator.state = state["rng"]
        self.epoch = epoch
        self._start_epoch()
        self._position = position

    def _start_epoch(self) -> None:
        """Draw the epoch's permutation. Checkpoints have the generator's state before it, which is shorter."""
        self._epoch_rng_state = self._rng.bit_generator.state
        self._order = self._rng.permutation(self.size)
        self._position = 0
