"""Training windows over tokenized episodes, gathered one batch at a time; nothing is padded in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Windows:
    """Every window of ``sequence_length`` transitions that starts inside an episode.

    A window starts at each step of an episode but its last, as in the Trajectory Transformer. The original never
    samples episodes of one step; here each has one window, so that a model learns from it too. Past the episode's end
    a window contains the stop token ``bins`` in every dimension. Stop tokens count in the loss, so that a model learns
    to stop, except at steps from ``max_path_length`` on, where the step limit ends an episode and not its actions.

    Windows are numbered through the episodes in order. A sampler needs only these indices. With weights, there are as
    many indices, but an episode has them in proportion to its weight: several stand for one window, or none. They are
    the same in every epoch.

    Args:
        tokens: ``(transitions, dims)`` unsigned tokens.
        offsets: ``(episodes + 1,)`` row at which each episode starts.
        sequence_length: transitions per window.
        bins: bins of each dimension; also the stop token.
        max_path_length: step limit of the environment's episodes.
        episodes: indices of the episodes to use; None takes all.
        weights: relative frequency of each of these episodes' windows; None = all alike.
    """

    def __init__(
        self,
        tokens: NDArray[np.unsignedinteger],
        offsets: NDArray[np.int64],
        sequence_length: int,
        bins: int,
        max_path_length: int = 1000,
        episodes: ArrayLike | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        assert sequence_length >= 1 and len(tokens) == offsets[-1]
        self.tokens = tokens
        self.sequence_length = sequence_length
        self.bins = bins
        self.max_path_length = max_path_length
        self.episodes = np.arange(len(offsets) - 1) if episodes is None else np.asarray(episodes, dtype=np.int64)
        self._begin = offsets[:-1][self.episodes]
        self._end = offsets[1:][self.episodes]
        starts = np.maximum(self._end - self._begin - 1, 1)
        self._first_window = np.concatenate([[0], np.cumsum(starts)])
        self._drawn: NDArray[np.float64] | None = None
        if weights is not None:
            shares = np.cumsum(starts * weights)
            self._drawn = np.concatenate([[0.0], shares / shares[-1]])  # of all draws, up to each episode

    def __len__(self) -> int:
        """Number of windows."""
        return int(self._first_window[-1])

    @property
    def dims(self) -> int:
        """Tokens per transition."""
        return int(self.tokens.shape[1])

    @property
    def block_size(self) -> int:
        """Tokens that a model reads at once, ``sequence_length * dims - 1``."""
        return self.sequence_length * self.dims - 1

    def batch(self, indices: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Inputs, targets and loss mask of some windows, by one gather.

        Args:
            indices: ``(batch,)`` window indices below ``len(self)``.

        Returns:
            ``X``, ``Y`` and ``mask``, each ``(batch, block_size)``: ``Y`` is ``X`` one token later and ``mask`` is true
            where a token of ``Y`` counts. (The original's mask is aligned to ``X``, one token off.)
        """
        slots, first = self._slots(indices)
        steps = first[:, None] + np.arange(self.sequence_length)  # (batch, time)
        rows = self._begin[slots, None] + steps
        past_end = rows >= self._end[slots, None]
        tokens = self.tokens[np.minimum(rows, len(self.tokens) - 1)].astype(np.int64)  # (batch, time, dims)
        tokens[past_end] = self.bins
        counts = ~past_end | (steps < self.max_path_length)
        flat = tokens.reshape(len(slots), self.block_size + 1)
        return flat[:, :-1], flat[:, 1:], np.repeat(counts, self.dims, axis=1)[:, 1:]

    def real_targets(self, indices: ArrayLike) -> int:
        """How many targets of some windows are not stop tokens, without reading them.

        Args:
            indices: ``(batch,)`` window indices below ``len(self)``.
        """
        slots, first = self._slots(indices)
        steps = np.minimum(self._end[slots] - self._begin[slots] - first, self.sequence_length)
        return int((steps * self.dims - 1).sum())

    def _slots(self, indices: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Position in ``self.episodes`` and first step of each window, both ``(batch,)``."""
        windows = np.asarray(indices, dtype=np.int64)
        assert windows.size == 0 or (windows.min() >= 0 and windows.max() < len(self))
        if self._drawn is not None:
            windows = self._weighted(windows, self._drawn)
        slots = np.searchsorted(self._first_window, windows, side="right") - 1
        return slots, windows - self._first_window[slots]

    def _weighted(self, indices: NDArray[np.int64], drawn: NDArray[np.float64]) -> NDArray[np.int64]:
        """The windows that indices stand for, (batch,)."""
        share = (indices + 0.5) / len(self)
        slots = np.searchsorted(drawn, share, side="right") - 1
        within = (share - drawn[slots]) / (drawn[slots + 1] - drawn[slots])
        first, end = self._first_window[slots], self._first_window[slots + 1]
        windows: NDArray[np.int64] = np.minimum(first + (within * (end - first)).astype(np.int64), end - 1)
        return windows


def return_weights(
    returns: NDArray[np.float64], lengths: NDArray[np.int64], emphasis: float
) -> NDArray[np.float64] | None:
    """Weights that prefer windows of good episodes: the fraction of all steps that earned less, to a power.

    Steps of equal episodes count half, so that a set whose episodes all earn the same has equal weights.

    Args:
        returns: ``(episodes,)`` returns.
        lengths: ``(episodes,)`` steps.
        emphasis: the power; 0 has no weights.

    Returns:
        ``(episodes,)``, or None.
    """
    if emphasis == 0.0:
        return None
    _, ranks = np.unique(returns, return_inverse=True)
    steps = np.bincount(ranks, lengths)
    worse = np.cumsum(steps) - steps / 2
    weights: NDArray[np.float64] = (worse[ranks] / steps.sum()) ** emphasis
    return weights


def split_episodes(
    count: int, fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out whole episodes, so that no window of the held-out part was ever trained on.

    With two episodes or more and a fraction above zero, both parts get at least one. A single episode, or a fraction
    of zero, leaves nothing held out.

    Args:
        count: number of episodes.
        fraction: fraction of the episodes to hold out, at least 0 and below 1.
        rng: draws the held-out episodes.

    Returns:
        Sorted indices of the training and of the held-out episodes.
    """
    assert count >= 1 and 0.0 <= fraction < 1.0
    held_out = 0
    if fraction > 0.0 and count >= 2:
        held_out = min(max(round(fraction * count), 1), count - 1)
    order = rng.permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
