"""Episodes: flat arrays plus offsets, the common form of data from every source."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrl_cli.data.space import space_of_rows
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.mapped import release, row_ranges


@dataclass(frozen=True)
class Episodes:
    """Ragged episodes, one after the other, never padded.

    Row ``t`` holds the observation, the action taken there, and the reward that this action earned. The last row of
    every episode carries a flag: ``terminals`` where the environment ended it (the robot fell), ``timeouts`` where
    only the step limit or the end of the recording did.

    Attributes:
        observations: ``(transitions, observation_dim)`` float32, or images ``(transitions, *shape)`` uint8; while a
            file is read also states ``(transitions,)`` int64, see :mod:`~seqrl_cli.data.states`.
        actions: ``(transitions, action_dim)`` float32, or discrete choices ``(transitions,)`` int64.
        rewards: ``(transitions,)`` float32.
        terminals: ``(transitions,)`` bool.
        timeouts: ``(transitions,)`` bool.
        offsets: ``(episodes + 1,)`` int64; episode ``i`` is rows ``offsets[i]`` to ``offsets[i + 1] - 1``.
        declared: spaces of the episodes, where more is known than the arrays show, such as bounds.
        successes: ``(transitions,)`` bool, whether the task is solved after each step; None where nothing states it.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.bool_]
    timeouts: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    declared: Spaces | None = None
    successes: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
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
            observations: ``(transitions, *shape)``; uint8 images keep their type, whole numbers ``(transitions,)`` are
                states, all else becomes float32.
            actions: ``(transitions, action_dim)``, or whole numbers ``(transitions,)``, which are discrete choices.
            rewards: ``(transitions,)``.
            terminals: ``(transitions,)``, zero or one.
            timeouts: ``(transitions,)``, zero or one.

        Raises:
            SeqrlError: there is no transition.
        """
        ended = np.asarray(terminals, dtype=bool)
        cut = np.array(timeouts, dtype=bool)
        if not len(cut):
            raise SeqrlError("the dataset contains no transitions", "check that the recording worked")
        if not ended[-1]:
            cut[-1] = True
        return cls(
            _as_observations(np.asarray(observations)),
            _as_actions(np.asarray(actions)),
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
    def spaces(self) -> Spaces:
        """What observations and actions are: as declared, else as the arrays show."""
        return self.declared or Spaces(space_of_rows(self.observations), space_of_rows(self.actions))

    @property
    def observation_dim(self) -> int:
        """Numbers per observation."""
        return math.prod(self.observations.shape[1:])

    @property
    def action_dim(self) -> int:
        """Numbers per action; 1 if actions are discrete."""
        return math.prod(self.actions.shape[1:])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each episode, ``(episodes,)``."""
        return np.diff(self.offsets)

    @property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted return of each episode, ``(episodes,)``, summed in float64."""
        return np.add.reduceat(self.rewards, self.offsets[:-1], dtype=np.float64)

    def fingerprint(self, settings: Mapping[str, Any] | None = None) -> str:
        """SHA-256, as hexadecimal digits, of the arrays and of the settings by which something is derived from them.

        File names, dates and attributes do not count: another copy of the same data has the same fingerprint.
        """
        digest = hashlib.sha256(json.dumps(settings or {}, sort_keys=True).encode())
        for name in ("observations", "actions", "rewards", "terminals", "offsets"):
            array = getattr(self, name)
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            for start, stop in row_ranges(array):
                digest.update(np.ascontiguousarray(array[start:stop]).data)
                release(array)
        return digest.hexdigest()

    def first_observations(self, count: int | None) -> Episodes:
        """The same episodes with only the first ``count`` numbers of each observation; None keeps all."""
        if count is None or self.observation_dim <= count:
            return self
        declared = self.declared and self.declared.first_observations(count)
        return replace(self, observations=np.ascontiguousarray(self.observations[:, :count]), declared=declared)

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
            self.declared,
            None if self.successes is None else self.successes[rows],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Episodes]) -> Episodes:
        """All episodes of ``parts``, in order.

        Raises:
            SizeMismatchError: the parts differ in the shape or kind of their observations or actions.
        """
        first = parts[0]
        for index, part in enumerate(parts[1:], 1):
            if not first.spaces.fits(part.spaces):  # a part may lack some of the discrete actions
                part.spaces.require_fit(f"part {index}", first.spaces, "part 0", "join data of one environment only")
        return cls(
            np.concatenate([part.observations for part in parts]),
            np.concatenate([part.actions for part in parts]),
            np.concatenate([part.rewards for part in parts]),
            np.concatenate([part.terminals for part in parts]),
            np.concatenate([part.timeouts for part in parts]),
            np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]),
            first.declared if all(part.declared == first.declared for part in parts) else None,
            _joined([part.successes for part in parts]),
        )


def _as_observations(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim == 1 and values.dtype.kind in "iu":
        return np.ascontiguousarray(values, dtype=np.int64)
    is_image = values.ndim > 2 and values.dtype == np.uint8
    return np.ascontiguousarray(values, dtype=np.uint8 if is_image else np.float32)


def _as_actions(values: NDArray[Any]) -> NDArray[Any]:
    is_choice = values.ndim == 1 and values.dtype.kind in "iu"
    return np.ascontiguousarray(values, dtype=np.int64 if is_choice else np.float32)


def _joined(parts: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    """The parts in order; None if one is missing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
