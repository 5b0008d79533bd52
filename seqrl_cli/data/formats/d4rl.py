"""Datasets in D4RL's HDF5 layout: flat ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``.

Columns under other names are read, too (:mod:`~seqrl_cli.data.formats.column_names`). The rules for splitting rows into
episodes are in :mod:`~seqrl_cli.data.formats.episode_ends`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import FILE_HINT, Column
from seqrl_cli.data.formats.column_names import LAYOUT_HINT, ColumnNames, columns_to_read
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.hdf5_parts import refuse_packed
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.data.formats.stacked import read_table
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hdf5 import Scalar, native_attributes, open_hdf5, write_array, write_attributes, write_hdf5
from seqrl_cli.files.mapped import Mapper
from seqrl_cli.files.regular import check_size

_INFOS = ("infos", "info", "env_infos")


def read_d4rl(
    path: Path, observation_slice: int | None = None, max_episode_steps: int | None = None, *, mapped: bool = False
) -> Episodes:
    """Read a dataset.

    Args:
        path: the HDF5 file.
        observation_slice: number of leading observation dimensions to keep; None keeps all.
        max_episode_steps: longest possible episode; None trusts the file's timeouts.
        mapped: whether observations and actions stay on the disk, and are read as they are indexed.

    Raises:
        SeqrlError: the file is missing, damaged or not in D4RL's layout, or contains values that are not finite.
    """
    mapper = Mapper() if mapped else None
    return read_hdf5(path, ReadOptions(observation_slice, max_episode_steps, reset_rows=False, mapper=mapper))


def read_hdf5(path: Path, options: ReadOptions) -> Episodes:
    """Read a dataset in D4RL's layout, one column at a time.

    Raises:
        SeqrlError: as :func:`read_d4rl`.
    """
    with open_hdf5(path, FILE_HINT) as file:
        columns = _columns(file, str(path), options.log)
        check_size(sum(column.nbytes for column in columns.values()), path.stat().st_size, str(path))
        for name, column in columns.items():
            if isinstance(column, h5py.Dataset):
                refuse_packed(column, f"{path}: {name}")
        episodes = read_table(columns, str(path), options)
        return replace(episodes, successes=_successes(file, len(episodes.rewards)))


@dataclass(frozen=True)
class StoredSize:
    """How large the columns of a dataset file are.

    Attributes:
        transitions: rows.
        shape: shape of an observation as it is read.
        action_dim: numbers per action; 1 if actions are discrete.
        wide_bytes: bytes of observations and actions once they are read.
    """

    transitions: int
    shape: tuple[int, ...]
    action_dim: int
    wide_bytes: int


def stored_size(path: Path, observation_slice: int | None = None) -> StoredSize:
    """How large a dataset is, by the header of its file.

    Raises:
        SeqrlError: the file is missing, damaged or not in D4RL's layout.
    """
    with open_hdf5(path, FILE_HINT) as file:
        columns = _columns(file, str(path))
        names = ColumnNames.of(columns)
        observations, actions = (columns[names.first(role) or ""] for role in ("observations", "actions"))
        shape: tuple[int, ...] = tuple(observations.shape[1:])
        if len(shape) == 1 and observation_slice is not None:
            shape = (min(observation_slice, shape[0]),)
        action_dim = math.prod(actions.shape[1:])
        per_action = 8 if actions.ndim == 1 and actions.dtype.kind in "iu" else 4 * action_dim
        row = math.prod(shape) * (4 if len(shape) == 1 else 1) + per_action
        return StoredSize(len(observations), shape, action_dim, len(observations) * row)


def _successes(file: h5py.File, rows: int) -> NDArray[np.bool_] | None:
    """Whether the task is solved after each step, ``(rows,)``; None if the file does not state it."""
    infos = file.get("infos")
    stored = infos.get("success") if isinstance(infos, h5py.Group) else None
    if not isinstance(stored, h5py.Dataset) or stored.shape != (rows,) or stored.dtype.kind not in "biu":
        return None
    return np.asarray(stored[:], np.bool_)


def _columns(file: h5py.File, source: str, log: ReadingLog | None = None) -> dict[str, Column]:
    """The arrays to read, by their names in the file.

    Raises:
        SeqrlError: one is missing, or is a group.
    """
    names = columns_to_read(file, source, log)
    groups = [name for name in names.needed if not isinstance(file[name], h5py.Dataset)]
    if groups:
        raise SeqrlError(f"{source}: {', '.join(groups)} is a group, not an array", LAYOUT_HINT)
    nested = [
        f"{name}/{key}" for name in _INFOS for key in (file[name] if isinstance(file.get(name), h5py.Group) else ())
    ]
    possible = (*names.possible, *ColumnNames.of(nested).doubtful)
    return {name: file[name] for name in (*names.needed, *(one for one in possible if _is_array(file, one, names)))}


def _is_array(file: h5py.File, name: str, names: ColumnNames) -> bool:
    node = file.get(name)
    return isinstance(node, h5py.Dataset) and names.is_possible(name, node.size)


def write_d4rl(path: Path, episodes: Episodes, attributes: Mapping[str, Scalar | None]) -> None:
    """Write a dataset completely or not at all; equal episodes and attributes give equal bytes.

    Args:
        path: the file to create or replace.
        episodes: the data.
        attributes: facts to store with it, such as environment, seed and reference scores; None is left out.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    with write_hdf5(path) as file:
        write_array(file, "observations", episodes.observations)
        write_array(file, "actions", episodes.actions)
        write_array(file, "rewards", episodes.rewards)
        write_array(file, "terminals", episodes.terminals)
        write_array(file, "timeouts", episodes.timeouts)
        if episodes.successes is not None:
            write_array(file.create_group("infos"), "success", episodes.successes)
        write_attributes(file, attributes)


def read_attributes(path: Path) -> dict[str, Scalar]:
    """The attributes of a dataset file; empty if it has none.

    Raises:
        SeqrlError: the file is missing or damaged.
    """
    with open_hdf5(path, FILE_HINT) as file:
        return native_attributes(file)
