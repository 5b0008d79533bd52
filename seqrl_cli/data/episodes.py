"""Episodes: flat arrays plus offsets, the one form that every source of data turns into."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrl_cli.errors import SeqrlError


@dataclass(frozen=True)
class Episodes:
    """Ragged episodes, one after the other, never padded.

    Row ``t`` holds the observation, the action taken there, and the reward that this action earned. The last row of
    every episode carries a flag: ``terminals`` where the environment ended it (the robot fell), ``timeouts`` where
    only the clock or the end of the recording did.

    Attributes:
        observations: ``(transitions, observation_dim)`` float32.
        actions: ``(transitions, action_dim)`` float32.
        rewards: ``(transitions,)`` float32.
        terminals: ``(transitions,)`` bool.
        timeouts: ``(transitions,)`` bool.
        offsets: ``(episodes + 1,)`` int64; episode ``i`` is rows ``offsets[i]`` to ``offsets[i + 1] - 1``.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.bool_]
    timeouts: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.observations.ndim == self.actions.ndim == 2
        columns = (self.observations, self.actions, self.rewards, self.terminals, self.timeouts)
        assert {len(column) for column in columns} == {int(self.offsets[-1])}
        assert self.offsets[0] == 0 and (np.diff(self.offsets) > 0).all()

    @classmethod
    def from_flags(
        cls,
        observations: ArrayLike,
        actions: ArrayLike,
        rewards: ArrayLike,
        terminals: ArrayLike,
        timeouts: ArrayLike,
    ) -> Episodes:
        """Cut a stream of transitions after every terminal or timeout.

        Rows after the last flag are an episode too: the recording stopped there, so its last row is marked as a
        timeout.

        Args:
            observations: ``(transitions, observation_dim)``.
            actions: ``(transitions, action_dim)``.
            rewards: ``(transitions,)``.
            terminals: ``(transitions,)``, zero or one.
            timeouts: ``(transitions,)``, zero or one.

        Raises:
            SeqrlError: there is no transition.
        """
        ended = np.asarray(terminals, dtype=bool)
        cut = np.array(timeouts, dtype=bool)
        if not len(cut):
            raise SeqrlError("the dataset holds no transitions", "check that the recording worked")
        cut[-1] |= not ended[-1]
        return cls(
            np.ascontiguousarray(observations, dtype=np.float32),
            np.ascontiguousarray(actions, dtype=np.float32),
            np.ascontiguousarray(rewards, dtype=np.float32),
            ended,
            cut,
            np.concatenate([[0], np.flatnonzero(ended | cut) + 1]).astype(np.int64),
        )

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.offsets) - 1

    @property
    def transitions(self) -> int:
        """Number of rows over all episodes."""
        return int(self.offsets[-1])

    @property
    def observation_dim(self) -> int:
        """Numbers in one observation."""
        return int(self.observations.shape[1])

    @property
    def action_dim(self) -> int:
        """Numbers in one action."""
        return int(self.actions.shape[1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each episode, ``(episodes,)``."""
        return np.diff(self.offsets)

    @property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted return of each episode, ``(episodes,)``, summed in float64."""
        return np.add.reduceat(self.rewards, self.offsets[:-1], dtype=np.float64)

    def fingerprint(self, settings: Mapping[str, Any] | None = None) -> str:
        """SHA-256 over the arrays, and over settings that stand for what is made of them, as hexadecimal digits.

        File names, dates and attributes are left out: another copy of the same data has the same fingerprint.
        """
        digest = hashlib.sha256(json.dumps(settings or {}, sort_keys=True).encode())
        for name in ("observations", "actions", "rewards", "terminals", "offsets"):
            array = getattr(self, name)
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def select(self, indices: ArrayLike) -> Episodes:
        """The episodes with these indices, in this order; an index may repeat.

        Args:
            indices: ``(count,)`` episode indices, at least one.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return Episodes(
            self.observations[rows],
            self.actions[rows],
            self.rewards[rows],
            self.terminals[rows],
            self.timeouts[rows],
            offsets,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Episodes]) -> Episodes:
        """All episodes of ``parts``, in order.

        Raises:
            SeqrlError: the parts differ in observation or action size.
        """
        shapes = {(part.observation_dim, part.action_dim) for part in parts}
        if len(shapes) != 1:
            raise SeqrlError(
                f"cannot join datasets of different (observation, action) sizes: {sorted(shapes)}",
                "join datasets of one environment only",
            )
        return cls(
            np.concatenate([part.observations for part in parts]),
            np.concatenate([part.actions for part in parts]),
            np.concatenate([part.rewards for part in parts]),
            np.concatenate([part.terminals for part in parts]),
            np.concatenate([part.timeouts for part in parts]),
            np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]),
        )
