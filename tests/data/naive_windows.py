"""Training windows built token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

Window = tuple[list[int], list[int], list[bool]]


def naive_windows(
    tokens: np.ndarray,
    offsets: np.ndarray,
    sequence_length: int,
    bins: int,
    max_path_length: int,
    episodes: Iterable[int],
) -> Iterator[Window]:
    """Every window, one token at a time: inputs, targets, mask of targets."""
    dims = tokens.shape[1]
    for episode in episodes:
        begin, length = offsets[episode], offsets[episode + 1] - offsets[episode]
        for start in range(max(length - 1, 1)):
            flat, keep = [], []
            for step in range(start, start + sequence_length):
                inside = step < length
                flat += tokens[begin + step].tolist() if inside else [bins] * dims
                keep += [inside or step < max_path_length] * dims
            yield flat[:-1], flat[1:], keep[1:]
