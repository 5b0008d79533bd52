"""Datasets in D4RL's HDF5 layout: flat ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``.

Where an episode ends, in this order of trust:

1. after every terminal and every timeout;
2. where ``next_observations`` exists and is not the observation that follows, there was a reset that no flag tells
   (medium-replay sets, whose timeouts mark the collector's iterations and not always the clock: D4RL issue 162);
3. after ``max_episode_steps`` without any of these; a file without ``timeouts`` is cut after 1000 steps.

Ends of the second and third kind become timeouts: they carry no penalty.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.hdf5 import Scalar, native_attributes, open_hdf5, write_array, write_attributes
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import atomic_path

DEFAULT_EPISODE_STEPS = 1000

_REQUIRED = ("observations", "actions", "rewards", "terminals")
_OPTIONAL = ("timeouts", "next_observations")
_LAYOUT_HINT = (
    "a D4RL file holds float arrays observations (n, O), actions (n, A), rewards (n,) "
    "and flags terminals (n,), timeouts (n,)"
)
_FILE_HINT = "download or collect the dataset again, or give the path of another file"
_REPAIR_HINT = "remove or repair those rows in the file"

_RESET_TOLERANCE = 1e-3


def read_d4rl(path: Path, observation_slice: int | None = None, max_episode_steps: int | None = None) -> Episodes:
    """Read a dataset; how it is cut into episodes is told at the top of this module.

    Args:
        path: the HDF5 file.
        observation_slice: keep the first so many observation dimensions; None keeps all.
        max_episode_steps: longest possible episode; None trusts the file's timeouts.

    Raises:
        SeqrlError: the file is missing, damaged, or not in D4RL's layout, or holds values that are not finite.
    """
    with open_hdf5(path, _FILE_HINT) as file:
        _check_keys(file, path)
        observations = _read_vectors(file, "observations", path, observation_slice)
        count = len(observations)
        if count == 0:
            raise SeqrlError(f"{path} holds no transitions", _FILE_HINT)
        actions = _read_vectors(file, "actions", path, None)
        rewards = _read_scalars(file, "rewards", path)
        terminals = _read_flags(file, "terminals", path)
        timeouts = _read_flags(file, "timeouts", path) if "timeouts" in file else np.zeros_like(terminals)
        columns = {"actions": actions, "rewards": rewards, "terminals": terminals, "timeouts": timeouts}
        for name, column in columns.items():
            if len(column) != count:
                raise SeqrlError(f"{path}: {name} has {len(column)} rows, observations {count}", _LAYOUT_HINT)
        if "next_observations" in file:
            timeouts |= _unflagged_resets(file, path, observations, terminals | timeouts)
        limit = max_episode_steps if "timeouts" in file else max_episode_steps or DEFAULT_EPISODE_STEPS
    if limit is not None:
        timeouts |= _overlong(terminals | timeouts, limit)
    return Episodes.from_flags(observations, actions, rewards, terminals, timeouts)


def write_d4rl(path: Path, episodes: Episodes, attributes: Mapping[str, Scalar | None]) -> None:
    """Write a dataset whole or not at all; the same episodes and attributes give the same bytes.

    Args:
        path: the file to make or replace.
        episodes: the data.
        attributes: facts to keep with it, such as env id, seed and reference scores; None is left out.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        write_array(file, "observations", episodes.observations)
        write_array(file, "actions", episodes.actions)
        write_array(file, "rewards", episodes.rewards)
        write_array(file, "terminals", episodes.terminals)
        write_array(file, "timeouts", episodes.timeouts)
        write_attributes(file, attributes)


def read_attributes(path: Path) -> dict[str, Scalar]:
    """The facts that a dataset file states about itself; empty for a file that states none.

    Raises:
        SeqrlError: the file is missing or damaged.
    """
    with open_hdf5(path, _FILE_HINT) as file:
        return native_attributes(file)


def _check_keys(file: h5py.File, path: Path) -> None:
    there = set(file)
    missing = [name for name in _REQUIRED if name not in there or not isinstance(file[name], h5py.Dataset)]
    if missing:
        raise SeqrlError(f"{path} has no {', '.join(missing)}", _LAYOUT_HINT)
    groups = [name for name in _OPTIONAL if name in there and not isinstance(file[name], h5py.Dataset)]
    if groups:
        raise SeqrlError(f"{path}: {', '.join(groups)} is a group, not an array", _LAYOUT_HINT)


def _numeric(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    dataset = file[name]
    if dataset.dtype.kind not in "biuf":
        raise SeqrlError(f"{path}: {name} holds {dataset.dtype}, not numbers", _LAYOUT_HINT)
    return dataset


def _read_vectors(file: h5py.File, name: str, path: Path, size: int | None) -> NDArray[np.float32]:
    """An array ``(n, size)``, converted while it is read, so that a float64 file never stands whole in memory."""
    dataset = _numeric(file, name, path)
    if dataset.ndim != 2:
        raise SeqrlError(f"{path}: {name} has shape {dataset.shape}, not one vector a row", _LAYOUT_HINT)
    if size is not None and size > dataset.shape[1]:
        raise SeqrlError(f"{path}: {name} has {dataset.shape[1]} columns, not {size} or more", _FILE_HINT)
    return _finite(dataset.astype(np.float32)[:, :size], name, path)


def _read_scalars(file: h5py.File, name: str, path: Path) -> NDArray[np.float32]:
    dataset = _numeric(file, name, path)
    if dataset.ndim != 1 and dataset.shape[1:] != (1,):
        raise SeqrlError(f"{path}: {name} has shape {dataset.shape}, not one number a row", _LAYOUT_HINT)
    return _finite(dataset.astype(np.float32)[:].reshape(len(dataset)), name, path)


def _read_flags(file: h5py.File, name: str, path: Path) -> NDArray[np.bool_]:
    values = _read_scalars(file, name, path)
    bad = (values != 0) & (values != 1)
    if bad.any():
        row = int(bad.argmax())
        raise SeqrlError(f"{path}: {name} holds {values[row]:g} at row {row}, not 0 or 1", _LAYOUT_HINT)
    return values.astype(bool)


def _finite(values: NDArray[np.float32], name: str, path: Path) -> NDArray[np.float32]:
    bad = ~np.isfinite(values)
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), values.shape)
        where = f"row {place[0]}" + (f", column {place[1]}" if values.ndim == 2 else "")
        raise SeqrlError(f"{path}: {name} holds {values[place]} at {where}", _REPAIR_HINT)
    return values


def _unflagged_resets(
    file: h5py.File, path: Path, observations: NDArray[np.float32], flagged: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Rows ``(n,)`` without a flag after which the recording jumps to another state."""
    following = _read_vectors(file, "next_observations", path, observations.shape[1])
    if following.shape != observations.shape:
        raise SeqrlError(f"{path}: next_observations is {following.shape}, not {observations.shape}", _LAYOUT_HINT)
    jumps = np.zeros(len(observations), dtype=bool)
    for told, seen in zip(following[:-1].T, observations[1:].T, strict=True):
        jumps[:-1] |= np.abs(told - seen) > _RESET_TOLERANCE * (1.0 + np.abs(seen))
    jumps &= ~flagged
    if jumps.sum() > np.count_nonzero(~flagged) / 2:
        raise SeqrlError(
            f"{path}: next_observations disagrees with the observation that follows in {jumps.sum()} rows",
            "the rows must stand in the order in which they were recorded; delete next_observations if it is wrong",
        )
    return jumps


def _overlong(ended: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """Rows ``(n,)`` that complete ``limit`` steps since the last end, where no flag came."""
    overlong = np.zeros_like(ended)
    bounds = np.concatenate([[-1], np.flatnonzero(ended), [len(ended) - 1]])
    for index in np.flatnonzero(np.diff(bounds) > limit):
        overlong[bounds[index] + limit : bounds[index + 1] : limit] = True
    return overlong
