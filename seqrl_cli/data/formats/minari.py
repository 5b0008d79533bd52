"""Minari's datasets: a folder with ``data/main_data.hdf5``, one group per episode, and ``data/metadata.json``.

Before Minari 0.5 the metadata were attributes of the first, which is read too. The files are read and written directly:
the package itself would make environments to read a file, unpack images, and need another package to append a step. A
test shows that the package's loader opens what is written here.

An episode there has one more observation than actions: the one after its last step, which has no row in
:class:`~seqrl_cli.data.episodes.Episodes`. The reader drops it; the writer repeats the last known observation, which
the metadata mention. Observations in dictionaries become one vector in the order of gymnasium's ``FlattenObservation``:
keys in the order of the declared space (sorted by name in every published set), nested keys in place of their parent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import FILE_HINT, Column
from seqrl_cli.data.formats.columns import ReadOptions, join_episodes, read_columns
from seqrl_cli.data.formats.minari_metadata import (
    MAIN,
    METADATA,
    parse_object,
    read_metadata,
    read_space,
    require_data,
)
from seqrl_cli.data.space import DiscreteSpace, Space
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.states import state_vectors
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.files.hdf5 import Scalar, open_hdf5, write_hdf5
from seqrl_cli.files.regular import check_size

ID_PATTERN = r"([-_\w]+/)*[-_\w]+-v\d+"

# Every release since 0.5.0 opens files with this version; the layout has not changed since.
_VERSION = "0.5.0"
_COLUMNS = {"rewards": "rewards", "terminals": "terminations", "timeouts": "truncations"}
_COPIED = ("minari_version", "algorithm_name", "code_permalink")
_LAST_OBSERVATION = "The observation after an episode's last step was not recorded; it repeats the one before."


def read_minari(folder: Path, options: ReadOptions | None = None) -> Episodes:
    """Read a dataset.

    Args:
        folder: the dataset's folder, or ``data`` in it.
        options: the options of reading; None = everything.

    Raises:
        SeqrlError: it is missing or damaged, or its observations or actions are not vectors.
    """
    place = require_data(folder)
    metadata = read_metadata(place)
    kind = metadata.get("data_format", "hdf5")
    if kind != "hdf5":
        hint = "save it as HDF5 with minari: MinariStorage.new(…, data_format='hdf5')"
        raise SeqrlError(f"{folder} is stored as {kind!r:.40}, but seqrl reads only Minari's HDF5", hint)
    spaces = {name: read_space(metadata, f"{name}_space", folder) for name in ("observation", "action")}
    path = place / MAIN
    with open_hdf5(path, FILE_HINT) as file:
        names = sorted((name for name in file if re.fullmatch(r"episode_\d+", name)), key=lambda name: int(name[8:]))
        expected = metadata.get("total_episodes", len(names))
        if str(expected) != str(len(names)):
            raise SeqrlError(f"{path} contains {len(names)} episodes, but its metadata states {expected}", FILE_HINT)
        if not names:
            raise SeqrlError(f"{path} contains no episodes", FILE_HINT)
        check_size(_claimed(file), path.stat().st_size, str(path))
        return join_episodes(_episodes(file, names, str(path), spaces, options or ReadOptions()))


def read_minari_attributes(folder: Path) -> dict[str, Scalar]:
    """The attributes of a dataset: environment, step limit, reference scores, order of flattened observations.

    Raises:
        SeqrlError: it is missing or damaged.
    """
    metadata = read_metadata(require_data(folder))
    environment = parse_object(metadata.get("env_spec"), folder)
    space = read_space(metadata, "observation_space", folder)
    facts: dict[str, Any] = {
        "minari_id": metadata.get("dataset_id"),
        "env_id": environment.get("id"),
        "max_episode_steps": environment.get("max_episode_steps"),
        "reference_min": metadata.get("ref_min_score"),
        "reference_max": metadata.get("ref_max_score"),
        "observation_keys": " ".join(_leaves(space)) if space.get("type") == "Dict" else None,
        **{name: metadata.get(name) for name in _COPIED},
    }
    if environment.get("kwargs"):
        facts["env_kwargs"] = json.dumps(environment["kwargs"])
    return {name: value for name, value in facts.items() if isinstance(value, str | int | float)}


@dataclass(frozen=True)
class MinariFacts:
    """What Minari stores beside the episodes.

    Attributes:
        dataset_id: namespace and name, ending in a version: ``sim/hopper-medium-v0``.
        env_spec: gymnasium's JSON of the environment's specification; None if unknown.
        spaces: observations and actions.
        others: further metadata, such as ``ref_min_score``.
    """

    dataset_id: str
    env_spec: str | None
    spaces: Spaces
    others: Mapping[str, Any]


def write_minari(folder: Path, episodes: Episodes, facts: MinariFacts) -> None:
    """Write a dataset; the metadata comes last, because a folder without it is not a dataset.

    Args:
        folder: the dataset's folder, ``<root>/<dataset_id>``; an existing dataset is replaced.
        episodes: the data.
        facts: the metadata.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    assert re.fullmatch(ID_PATTERN, facts.dataset_id)
    place = folder / "data"
    (place / METADATA).unlink(missing_ok=True)
    with write_hdf5(place / MAIN, track_order=True) as file:
        for index in range(len(episodes)):
            _write_episode(file.create_group(f"episode_{index}"), episodes, index)
    metadata: dict[str, Any] = {
        **{name: value for name, value in facts.others.items() if value is not None},
        "dataset_id": facts.dataset_id,
        "data_format": "hdf5",
        "minari_version": _VERSION,
        "total_episodes": len(episodes),
        "total_steps": episodes.transitions,
        "dataset_size": round((place / MAIN).stat().st_size / 1e6, 1),
        "observation_space": _written(facts.spaces.observation),
        "action_space": _written(facts.spaces.action),
        "description": " ".join(filter(None, [facts.others.get("description"), _LAST_OBSERVATION])),
    }
    if facts.env_spec is not None:
        metadata["env_spec"] = facts.env_spec
    write_text_atomic(place / METADATA, json.dumps(metadata))


def _write_episode(group: h5py.Group, episodes: Episodes, index: int) -> None:
    rows = slice(episodes.offsets[index], episodes.offsets[index + 1])
    seen = episodes.observations[rows]
    columns = {
        "observations": np.concatenate([seen, seen[-1:]]),
        "actions": episodes.actions[rows],
        "rewards": episodes.rewards[rows],
        "terminations": episodes.terminals[rows],
        "truncations": episodes.timeouts[rows] & ~episodes.terminals[rows],
    }
    for name, column in columns.items():
        group.create_dataset(name, data=column, track_times=False)
    group.create_group("infos")
    group.attrs["id"] = index
    group.attrs["total_steps"] = len(seen)


def _written(space: Space) -> str:
    """A space as Minari writes it."""
    if isinstance(space, DiscreteSpace):
        return json.dumps({"type": "Discrete", "dtype": space.dtype, "start": 0, "n": space.n})
    low, high = (bound.astype(space.stored_dtype).tolist() for bound in space.bounds)
    shape = {"type": "Box", "dtype": space.stored_dtype, "shape": list(space.shape)}
    return json.dumps({**shape, "low": low, "high": high})


def _leaves(space: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of a dictionary's parts in the order in which they are joined; nested names are dotted."""
    parts = _parts(space, []) if space.get("type") == "Dict" else {}
    if not parts:
        yield prefix
    for key, part in parts.items():
        yield from _leaves(part, f"{prefix}.{key}" if prefix else key)


def _parts(space: Mapping[str, Any], names: list[str]) -> dict[str, Mapping[str, Any]]:
    """The spaces of a dictionary's parts, in order; by these names if the space lists none."""
    subspaces = space.get("subspaces")
    parts = subspaces if isinstance(subspaces, dict) else dict.fromkeys(names)
    return {name: part if isinstance(part, dict) else {} for name, part in parts.items()}


def _claimed(file: h5py.File) -> int:
    """Total bytes that the file's arrays claim."""
    total = 0

    def add(_: str, item: Any) -> None:
        nonlocal total
        total += item.nbytes if isinstance(item, h5py.Dataset) else 0

    file.visititems(add)
    return total


def _episodes(
    file: h5py.File, names: list[str], path: str, spaces: Mapping[str, Mapping[str, Any]], options: ReadOptions
) -> Iterator[tuple[str, Episodes]]:
    whole = replace(options, default_steps=None)
    for name in names:
        source = f"{path}, {name}"
        group = file[name]
        missing = [key for key in ("observations", "actions", *_COLUMNS.values()) if key not in group]
        if missing:
            raise SeqrlError(f"{source} has no {', '.join(missing)}", FILE_HINT)
        columns: dict[str, Column] = {key: group[theirs][()] for key, theirs in _COLUMNS.items()}
        columns["actions"] = _actions(group["actions"], spaces["action"], f"{source}: actions")
        seen = _observations(group["observations"], spaces["observation"], f"{source}: observations")
        steps = len(columns["rewards"])
        if len(seen) not in (steps, steps + 1):
            message = f"{source} has {len(seen)} observations and {steps} rewards, not the same number or one more"
            raise SeqrlError(message, FILE_HINT)
        columns["observations"] = seen[:steps]
        stated = group.attrs.get("total_steps", steps)
        if stated != steps:
            options.log.warn(f"{name} has {steps} steps, but states {stated}; was it cut short?")
        yield source, read_columns(columns, source, whole)


def _actions(node: Any, space: Mapping[str, Any], what: str) -> NDArray[Any]:
    """Vectors ``(n, size)``, or discrete choices ``(n,)``, which Minari's reader of columns checks."""
    if space.get("type") != "Discrete" or not isinstance(node, h5py.Dataset):
        return _flat(node, space, what)
    return _whole_numbers(node, space, what)


def _observations(node: Any, space: Mapping[str, Any], what: str) -> NDArray[Any]:
    """Vectors ``(n, size)``, or images of bytes ``(n, *shape)``."""
    is_image = isinstance(node, h5py.Dataset) and node.dtype == np.uint8 and node.ndim in (3, 4)
    return np.asarray(node[()]) if is_image else _flat(node, space, what)


def _whole_numbers(node: h5py.Dataset, space: Mapping[str, Any], what: str) -> NDArray[np.int64]:
    """Choices or states ``(n,)``, counted from 0."""
    if node.size != len(node) or node.dtype.kind not in "iu":
        raise SeqrlError(f"{what} contain {node.dtype} of shape {node.shape}, not one whole number per row", FILE_HINT)
    start = space.get("start", 0)
    return np.asarray(node[()], np.int64).reshape(-1) - (start if isinstance(start, int) else 0)


def _flat(node: Any, space: Mapping[str, Any], what: str) -> NDArray[Any]:
    """One vector per row, ``(n, size)``, from an array or a group of arrays; states become vectors.

    Raises:
        SeqrlError: it contains something other than vectors.
    """
    kind = space.get("type", "Dict" if isinstance(node, h5py.Group) else "Box")
    if kind == "Dict" and isinstance(node, h5py.Group):
        flat = [_flat(node[key], part, f"{what}, {key}") for key, part in _parts(space, sorted(node)).items()]
        if not flat or len({len(part) for part in flat}) != 1:
            raise SeqrlError(f"{what} has parts of different lengths, or none", FILE_HINT)
        return np.concatenate(flat, axis=1)
    count = space.get("n")
    if kind == "Discrete" and isinstance(node, h5py.Dataset) and isinstance(count, int):
        return state_vectors(_whole_numbers(node, space, what), count, what)
    if kind != "Box" or not isinstance(node, h5py.Dataset):
        hint = "seqrl needs vectors of numbers: a Box with one axis, or a Dict of them"
        raise SeqrlError(f"{what} are of kind {kind!r:.40}, not vectors", hint)
    if node.ndim > 2 or node.dtype.kind not in "biuf":
        raise SeqrlError(f"{what} contain {node.dtype} of shape {node.shape}, not one vector per row", FILE_HINT)
    values: NDArray[Any] = node[()]
    return values.reshape(len(values), math.prod(values.shape[1:]))
