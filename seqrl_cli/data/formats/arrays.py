"""Arrays in memory as a dataset: flat columns, or a list of episodes. Names and ends mean what they mean in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.column_names import (
    FLAG_ROLES,
    NAMES,
    REQUIRED,
    ColumnNames,
    columns_to_read,
    plain_name,
    role_of,
)
from seqrl_cli.data.formats.columns import ReadOptions, join_episodes, read_columns
from seqrl_cli.data.formats.plain_columns import plain_objects
from seqrl_cli.data.formats.read import settled
from seqrl_cli.data.formats.stacked import read_table
from seqrl_cli.errors import SeqrlError

_SOURCE = "the arrays"
_JOIN_HINT = "join its arrays to one vector per row: np.concatenate([…], axis=1)"
_EPISODE_HINT = "an episode is a dictionary of arrays: observations, actions, rewards, and terminated if it ended"


def read_arrays(columns: Mapping[str, Any], options: ReadOptions) -> Episodes:
    """Flat arrays of all episodes one after the other, or arrays (episodes, steps, …).

    Args:
        columns: arrays, or what NumPy makes arrays of, by any of the names that files may use.
        options: the options of reading.

    Raises:
        SeqrlError: one is missing, or has the wrong shape or values.
    """
    arrays = _arrays(columns, _SOURCE)
    columns_to_read(arrays, _SOURCE, options.log)
    return settled(read_table(arrays, _SOURCE, options), _SOURCE, options)


def read_episodes(items: Iterable[Any], options: ReadOptions) -> Episodes:
    """Episodes one by one: dictionaries of arrays, or objects with such attributes, as Minari's and d3rlpy's.

    A flag may be a single value: whether the episode ended so.

    Raises:
        SeqrlError: there is none, one is something else, or they do not fit together.
    """
    whole = replace(options, default_steps=None)
    parts = list(_each(items, whole))
    if not parts:
        raise SeqrlError("the list contains no episodes", _EPISODE_HINT)
    return settled(join_episodes(parts), "the list of episodes", options)


def _each(items: Iterable[Any], options: ReadOptions) -> Iterator[tuple[str, Episodes]]:
    for index, item in enumerate(items):
        name = f"episode {index}"
        columns = _arrays(_columns_of(item, name), name)
        names = columns_to_read(columns, name, options.log)
        rewards = columns[names.first("rewards") or ""]
        if not rewards.ndim:
            raise SeqrlError(f"{name} has one reward, not an array of them", _EPISODE_HINT)
        yield name, read_columns(_as_columns(columns, len(rewards)), name, options)


def _columns_of(item: Any, name: str) -> Mapping[str, Any]:
    """The columns of an episode, by name; next observations are not needed to find its end.

    Raises:
        SeqrlError: it is no episode.
    """
    if isinstance(item, Mapping):
        found = dict(item)
    elif dataclasses.is_dataclass(item) and not isinstance(item, type):
        found = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    else:
        raise SeqrlError(f"{name} is of type {type(item).__name__}, not a dictionary of arrays", _EPISODE_HINT)
    return {key: value for key, value in found.items() if plain_name(str(key)) not in NAMES["next_observations"]}


def _arrays(columns: Mapping[str, Any], source: str) -> dict[str, NDArray[Any]]:
    """The columns of numbers; whatever else is there, such as ``infos``, is left out.

    Raises:
        SeqrlError: a needed column is no array of numbers.
    """
    found: dict[str, NDArray[Any]] = {}
    lost: dict[str, str] = {}
    for key, value in columns.items():
        if value is None:
            continue
        role = role_of(str(key))
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors that need gradients
            raise SeqrlError(f"{source}: {key} is not an array: {error}", _EPISODE_HINT) from error
        if array.dtype.kind in "OT" and role is not None:
            array = plain_objects(array)
        if array.dtype.kind in "biuf" or (array.dtype.kind in "SU" and role == "ids"):
            if role is not None and np.ma.is_masked(value):
                raise SeqrlError(f"{source}: {key} has masked values", "remove those rows, or fill them")
            found[str(key)] = array
        elif role is not None:
            lost[str(key)] = _kind(value, array)
    _refuse_loss(lost, ColumnNames.of(found), source)
    return found


def _refuse_loss(lost: Mapping[str, str], names: ColumnNames, source: str) -> None:
    """Stop at columns without numbers that no other column of numbers stands for.

    Args:
        lost: kinds of content of the columns without numbers, by name.
        names: names of the columns of numbers.
        source: name of the arrays in errors.

    Raises:
        SeqrlError: there is one.
    """
    for key, kind in lost.items():
        role = role_of(key) or ""
        is_flag = role in FLAG_ROLES and kind != "None"
        replaced = role in names.by_role or (role == "dones" and "terminals" in names.by_role)
        if not replaced and (role in REQUIRED or is_flag):
            hint = _JOIN_HINT if kind.startswith("a dictionary") else _EPISODE_HINT
            raise SeqrlError(f"{source}: {key} contains {kind}, not numbers", hint)


def _kind(value: Any, array: NDArray[Any]) -> str:
    """What a column without numbers contains."""
    if isinstance(value, Mapping):
        return f"a dictionary ({', '.join(map(str, value))})"
    if array.dtype.kind != "O":
        return str(array.dtype)
    if all(entry is None for entry in array.flat):
        return "None"
    others = {type(entry).__name__ for entry in array.flat if not isinstance(entry, bool | np.bool_ | Real)}
    return f"values of type {', '.join(sorted(others))}"


def _as_columns(columns: Mapping[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
    """The columns of an episode; single flags, which tell how it ended, as flags of its last row.

    Other single values, such as an episode's number, are left out.
    """
    found = {key: column for key, column in columns.items() if column.ndim}
    for key in columns.keys() - found.keys():
        if any(plain_name(key) in NAMES[role] for role in FLAG_ROLES):
            found[key] = np.append(np.zeros(rows - 1, np.bool_), bool(columns[key]))
    return found
