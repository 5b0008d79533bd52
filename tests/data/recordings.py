"""Recordings of known episodes, written down in every way in which the field marks their ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Recording:
    """Episodes as they were played: ``lengths`` steps each, some ended by the environment."""

    lengths: tuple[int, ...]
    fell: tuple[bool, ...]
    seed: int = 0

    @property
    def rows(self) -> int:
        return sum(self.lengths)

    @property
    def last(self) -> np.ndarray:
        """The last row of every episode, ``(rows,)``."""
        return np.concatenate([np.arange(length) == length - 1 for length in self.lengths])

    @property
    def terminals(self) -> np.ndarray:
        return self.last & np.repeat(self.fell, self.lengths)

    @property
    def truncations(self) -> np.ndarray:
        return self.last & ~np.repeat(self.fell, self.lengths)

    @property
    def first(self) -> np.ndarray:
        return np.roll(self.last, 1)

    @property
    def ids(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def steps(self) -> np.ndarray:
        return np.concatenate([np.arange(length) for length in self.lengths])

    def episodes(self) -> list[dict[str, np.ndarray]]:
        """One dictionary per episode, with an observation more than steps."""
        rng = np.random.default_rng(self.seed)
        return [
            {
                "observations": rng.normal(size=(length + 1, 3)).cumsum(axis=0).astype(np.float32),
                "actions": rng.uniform(-1, 1, size=(length, 2)).astype(np.float32),
                "rewards": rng.normal(size=length).astype(np.float32),
            }
            for length in self.lengths
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """Flat columns without any that tells of ends."""
        flat = {key: [one[key] for one in self.episodes()] for key in ("observations", "actions", "rewards")}
        flat["observations"] = [seen[:-1] for seen in flat["observations"]]
        return {key: np.concatenate(parts) for key, parts in flat.items()}

    def following(self) -> np.ndarray:
        """Next observations, ``(rows, 3)``."""
        return np.concatenate([one["observations"][1:] for one in self.episodes()])


def assert_read(episodes, recording: Recording) -> None:
    """The episodes are those that were played, in steps, ends and numbers."""
    played = recording.arrays()
    assert episodes.lengths.tolist() == list(recording.lengths)
    np.testing.assert_array_equal(episodes.terminals, recording.terminals)
    np.testing.assert_array_equal(episodes.timeouts & ~episodes.terminals, recording.truncations)
    for key, values in played.items():
        np.testing.assert_array_equal(getattr(episodes, key), values)


def assert_cut(episodes, recording: Recording) -> None:
    """The episodes have the right lengths; which ends are terminals is not told."""
    assert episodes.lengths.tolist() == list(recording.lengths)
