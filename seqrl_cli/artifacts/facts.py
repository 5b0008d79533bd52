"""The facts that ``dataset.h5`` states about itself; no other module reads or writes its attributes.

Training needs the step limit and the action bounds of the dataset's environment. Both are stored when the dataset is
made, so that packages installed later do not change what is trained.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_attributes, write_d4rl
from seqrl_cli.data.space import BoxSpace
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.envs.limits import ActionBounds, environment_limits
from seqrl_cli.envs.trust import remember
from seqrl_cli.files.hdf5 import Scalar
from seqrl_cli.files.json_text import parse_json

# Attributes that are computed whenever a dataset is written, whatever its source file states.
_COMPUTED = ("step_limit", "action_low", "action_high", "spaces", "episodes_sha256")


@dataclass(frozen=True)
class DatasetFacts:
    """The facts that a ``dataset.h5`` states about itself; a fact that it does not state is None.

    Attributes:
        env_id: gymnasium id of its environment.
        source: ``d4rl``, ``minari``, ``sim``, ``collected`` or ``file``.
        reference_scores: returns that score 0 and 1.
        observation_slice: number of leading dimensions of longer observations that were kept when it was made.
        step_limit: most steps of an episode in its environment; absent in datasets of older versions.
        action_bounds: finite bounds of the actions, float64; absent in datasets of older versions.
        spaces: spaces of its arrays, with the bounds of its environment; absent in datasets of older versions.
        episodes_sha256: hash of its arrays, :meth:`Episodes.fingerprint`; absent in datasets of older versions.
        attributes: all stated facts, by name.
    """

    env_id: str | None
    source: str | None
    reference_scores: tuple[float, float] | None
    observation_slice: int | None
    step_limit: int | None
    action_bounds: ActionBounds | None
    spaces: Spaces | None
    episodes_sha256: str | None
    attributes: Mapping[str, Scalar]

    @classmethod
    def from_attributes(cls, stated: Mapping[str, Scalar]) -> DatasetFacts:
        """Facts from a file's attributes; an attribute of the wrong type counts as absent."""
        low, high = _number(stated, "reference_min"), _number(stated, "reference_max")
        lowest, highest = _vector(stated, "action_low"), _vector(stated, "action_high")
        return cls(
            env_id=_text(stated, "env_id"),
            source=_text(stated, "source"),
            reference_scores=None if low is None or high is None else (low, high),
            observation_slice=_whole(stated, "observation_slice"),
            step_limit=_whole(stated, "step_limit"),
            action_bounds=None if lowest is None or highest is None else (lowest, highest),
            spaces=_spaces(stated),
            episodes_sha256=_text(stated, "episodes_sha256"),
            attributes=stated,
        )

    def spaces_of(self, shown: Spaces, observation_size: int | None) -> Spaces:
        """The stated spaces where they fit; otherwise those that the arrays show, with the stated action bounds.

        Args:
            shown: the spaces that the arrays show.
            observation_size: number of leading dimensions of longer observations that are kept; None: all.
        """
        if self.spaces is not None:
            stated = self.spaces.first_observations(observation_size)
            return stated if shown.fits(stated) else shown
        if self.action_bounds is None or not isinstance(shown.action, BoxSpace):
            return shown
        low, high = self.action_bounds
        return replace(shown, action=BoxSpace.bounded(shown.action.shape, shown.action.dtype, low, high))


class DatasetFile:
    """A ``dataset.h5``, whose facts are read once for as long as the file stays the same.

    Args:
        path: the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: DatasetFacts | None = None
        self._stamp: tuple[int, int, int] | None = None  # of the file when its facts were read

    def read(self) -> DatasetFacts:
        """The facts that the file states about itself.

        Raises:
            SeqrlError: the file is missing or damaged.
        """
        stamp = self._current_stamp()
        if self._facts is None or stamp != self._stamp:
            self._facts = DatasetFacts.from_attributes(read_attributes(self.path))
            self._stamp = stamp
        return self._facts

    def _current_stamp(self) -> tuple[int, int, int] | None:
        if not self.path.exists():
            return None
        state = self.path.stat()
        return state.st_ino, state.st_mtime_ns, state.st_size


def write_dataset(path: Path, episodes: Episodes, attributes: Mapping[str, Any]) -> None:
    """Write a ``dataset.h5`` with the limits of its environment and a hash of its arrays.

    Args:
        path: the file to make or replace.
        episodes: the data.
        attributes: further facts; ``env_id`` among them names the environment.

    Raises:
        UnsupportedSpacesError: the environment's spaces are neither boxes nor discrete.
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    env_id = attributes.get("env_id")
    limits = environment_limits(env_id, episodes.action_dim) if isinstance(env_id, str) else None
    found: dict[str, Scalar | None] = {
        "step_limit": (limits.step_limit or EPISODE_STEPS) if limits else None,
        "spaces": stored_spaces(episodes, limits.spaces if limits else None).to_json(),
        "episodes_sha256": episodes.fingerprint(),
    }
    if episodes.spaces.action.is_vector:
        low, high = finite_bounds(episodes.actions, limits.action_bounds if limits else None)
        found["action_low"] = json.dumps([float(number) for number in low])
        found["action_high"] = json.dumps([float(number) for number in high])
    write_d4rl(path, episodes, {**attributes, **found})
    if isinstance(env_id, str):
        remember(env_id)


def state_also(file: DatasetFile, episodes: Episodes, **facts: Scalar) -> None:
    """Store further facts of a ``dataset.h5``, whose content, other facts and time of change remain.

    Args:
        file: the dataset.
        episodes: what it contains.
        facts: the facts by name.
    """
    changed = file.path.stat().st_mtime_ns
    write_d4rl(file.path, episodes, {**file.read().attributes, **facts})
    os.utime(file.path, ns=(changed, changed))  # tokens older than their dataset would be compared with it


def stored_spaces(episodes: Episodes, environment: Spaces | None) -> Spaces:
    """The spaces of some episodes, with the bounds of their environment if it is known and has such spaces.

    Observations that are longer than the environment's have no bounds.
    """
    if environment is None or not episodes.spaces.action.fits(environment.action):
        return episodes.spaces
    if not episodes.spaces.observation.fits(environment.observation):
        environment = replace(environment, observation=episodes.spaces.observation)
    return episodes.spaces.with_bounds_of(environment)


def carried_attributes(stated: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The attributes to copy with the episodes into another file, without paths on this machine."""
    return {name: value for name, value in stated.items() if name not in ("path", *_COMPUTED)}


def finite_bounds(actions: np.ndarray, box: ActionBounds | None) -> ActionBounds:
    """The bounds between which a policy's actions lie: the environment's, and the data's range where it has none.

    Args:
        actions: the data's actions, (transitions, action_dim).
        box: the environment's bounds, (action_dim,) each, perhaps infinite; None: unknown.

    Returns:
        Lowest and highest action, (action_dim,) each.
    """
    low, high = actions.min(axis=0), actions.max(axis=0)
    flat = high - low < 1e-6  # an action that never varies in the data
    low, high = np.where(flat, low - 1, low), np.where(flat, high + 1, high)
    if box is not None:
        low = np.where(np.isfinite(box[0]), box[0], low)
        high = np.where(np.isfinite(box[1]), box[1], high)
    return low, high


def _text(stated: Mapping[str, Scalar], name: str) -> str | None:
    value = stated.get(name)
    return value if isinstance(value, str) else None


def _number(stated: Mapping[str, Scalar], name: str) -> float | None:
    value = stated.get(name)
    return None if value is None or isinstance(value, str) else float(value)


def _whole(stated: Mapping[str, Scalar], name: str) -> int | None:
    value = stated.get(name)
    return value if isinstance(value, int) and value > 0 else None


def _spaces(stated: Mapping[str, Scalar]) -> Spaces | None:
    try:
        return Spaces.from_json(_text(stated, "spaces") or "")
    except ValueError:
        return None


def _vector(stated: Mapping[str, Scalar], name: str) -> np.ndarray | None:
    """An attribute that holds an array of finite numbers as JSON."""
    try:
        values = np.asarray(parse_json(_text(stated, name) or ""), np.float64)
    except (ValueError, TypeError):
        return None
    return values if values.ndim == 1 and np.isfinite(values).all() else None
