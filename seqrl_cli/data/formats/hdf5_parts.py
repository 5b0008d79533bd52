"""Where HDF5 files keep their episodes, if not in flat columns: groups, numbered arrays, groups of observations.

Groups that stand side by side and have actions are episodes, if the name of one has a digit: ``demo_3``,
``demo_3_mirrored``, a UUID. A group may also contain a whole recording of several episodes, such as a worker's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.column_names import LAYOUT_HINT, ColumnNames
from seqrl_cli.data.formats.columns import FILE_HINT, check_size
from seqrl_cli.data.formats.names import natural_order
from seqrl_cli.errors import SeqrlError

OBSERVATIONS = ("observations", "obs", "observation")
STATES = ("states", "state")  # of the simulator, in robomimic's files
ACTIONS = ("actions", "action")
REWARDS = ("rewards", "reward")
TERMINALS = ("terminated", "terminations", "terminals", "terminal")
DONES = ("dones", "done")
SUCCESS = ("success",)

MAX_PARTS = 1000

_SUCCESS_KINDS = ("demo", "traj")  # in which terminals and dones mark success, which may come and go

_MISSING_HINTS = {
    "demo": "robomimic/scripts/dataset_states_to_obs.py adds observations, rewards and dones to simulator states",
    "traj": "python -m mani_skill.trajectory.replay_trajectory --traj-path FILE -o state --record-rewards --save-traj",
}


@dataclass(frozen=True)
class Part:
    """One episode's arrays and groups, or those of a whole recording.

    Attributes:
        source: its name in errors.
        kind: the word at the beginning of its name.
        nodes: arrays and groups by name.
        size: bytes of the file, which limit those of its arrays.
    """

    source: str
    kind: str
    nodes: Mapping[str, Any]
    size: int

    @property
    def name(self) -> str:
        """Its name in its file."""
        return self.source.rpartition(", ")[2]

    def find(self, names: tuple[str, ...]) -> Any:
        """The first of these that exists; None if there is none."""
        return next((self.nodes[name] for name in names if name in self.nodes), None)

    def require(self, names: tuple[str, ...]) -> Any:
        """The first of these that exists.

        Raises:
            SeqrlError: there is none.
        """
        found = self.find(names)
        if found is None:
            listing = ", ".join(sorted(self.nodes)[:8])
            hint = _MISSING_HINTS.get(self.kind, LAYOUT_HINT)
            raise SeqrlError(f"{self.source} has no {names[0]} (it has {listing})", hint)
        return found

    def has_rows(self, name: str) -> bool:
        """Whether there is an array with a number per row of this name."""
        node = self.nodes.get(name)
        if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "biu" or node.ndim not in (1, 2):
            return False
        return node.shape[1:] in ((), (1,)) and node.size > 1

    def array(self, names: tuple[str, ...]) -> NDArray[Any]:
        """The first of these, which must be an array; errors as for :meth:`require`."""
        node = self.require(names)
        if not isinstance(node, h5py.Dataset) or node.ndim == 0:
            raise SeqrlError(f"{self.source}: {names[0]} is not an array", LAYOUT_HINT)
        check_size(node.nbytes, self.size, self.source)
        refuse_packed(node, f"{self.source}: {names[0]}")
        return np.asarray(node)


def find_flat_part(file: h5py.File, source: str, size: int) -> Part | None:
    """The whole file, if it has flat columns with d3rlpy's own flags or with a group of observations."""
    found = Part(source, "flat", file, size)
    has_rows = isinstance(found.find(ACTIONS), h5py.Dataset)
    is_grouped = isinstance(found.find(OBSERVATIONS), h5py.Group) and "terminals" in file
    is_d3rlpy = "episode_terminals" in file and "observations" in file
    return found if has_rows and (is_grouped or is_d3rlpy) else None


def find_episode_parts(file: h5py.File, source: str, size: int) -> list[Part]:
    """The file's episodes in the natural order of their names; none if it has another layout."""
    if any(isinstance(file.get(name), h5py.Dataset) for name in ACTIONS):
        return []
    for parent in (file, file.get("data")):
        if isinstance(parent, h5py.Group):
            found = _groups(parent, source, size) or _numbered_arrays(parent, source, size)
            if found:
                return found
    return []


def holds_several_episodes(part: Part) -> bool:
    """Whether a group is a recording of several episodes: a mark of an end is followed by a row without one.

    An episode's number that changes and a step counter that starts again tell the same.
    """
    names = ColumnNames.of(part.nodes)
    roles = ("timeouts", "ends") if part.kind in _SUCCESS_KINDS else ("timeouts", "ends", "terminals", "dones")
    tests: dict[str, Callable[[NDArray[Any]], Any]] = {role: lambda flags: flags[:-1] & ~flags[1:] for role in roles}
    tests |= {"ids": lambda ids: ids[1:] != ids[:-1], "steps": lambda steps: steps[1:] < steps[:-1]}
    return any(
        part.has_rows(name) and bool(np.any(test(part.array((name,)).reshape(-1).astype(np.int64))))
        for role, test in tests.items()
        for name in names.by_role.get(role, ())
    )


def _groups(parent: h5py.Group, source: str, size: int) -> list[Part]:
    """The groups with actions, and others of their kind, which lack them, if one of the names has a digit."""
    found: dict[str, Part] = {}
    for name in sorted(parent, key=natural_order):
        group = parent.get(name)
        if isinstance(group, h5py.Group):
            kind = re.match(r"[^\W\d_]*", name)
            found[name] = Part(f"{source}, {name}", kind[0] if kind else "", group, size)
    numbered = {name for name in found if re.search(r"\d", name)}
    whole = {name for name, part in found.items() if part.find(ACTIONS) is not None}
    kinds = {found[name].kind for name in whole & numbered}
    return [
        part for name, part in found.items() if kinds and (name in whole or (name in numbered and part.kind in kinds))
    ]


def _numbered_arrays(parent: h5py.Group, source: str, size: int) -> list[Part]:
    """The arrays ``observations_N``, ``actions_N`` and so on of each N; ``observations_N_M`` are parts of one."""
    nodes: dict[int, dict[str, Any]] = {}
    for name in parent:
        match = re.fullmatch(r"(observations|actions|rewards|terminated)_(\d{1,9})(?:_(\d{1,9}))?", name)
        if match is not None:
            key = match[1] if match[3] is None else f"{match[1]}.{match[3]}"
            nodes.setdefault(int(match[2]), {})[key] = parent[name]
    return [Part(f"{source}, episode {number}", "d3rlpy", nodes[number], size) for number in sorted(nodes)]


def refuse_packed(column: h5py.Dataset, source: str) -> None:
    """Stop at numbers that netCDF's conventions change when they are read: scaled ones, and those that mean none.

    Args:
        column: of a file.
        source: its name in errors.

    Raises:
        SeqrlError: it contains such numbers.
    """
    attributes = column.attrs
    packed = [name for name in ("scale_factor", "add_offset") if name in attributes]
    if packed:
        message = f"{source} is packed: its attributes {' and '.join(packed)} change its numbers"
        raise SeqrlError(message, "save the numbers themselves, for example as xarray.open_dataset reads them")
    for name in ("_FillValue", "missing_value"):
        fill = np.asarray(attributes.get(name, np.nan)).reshape(-1)
        is_number = fill.size == 1 and fill.dtype.kind in "biuf" and not np.isnan(fill[0])
        if is_number and column.dtype.kind in "iuf" and (np.asarray(column[()]) == fill[0]).any():
            message = f"{source} contains {fill[0]:g}, which means none by its attribute {name}"
            raise SeqrlError(message, "remove those rows, or fill them")


def join_vectors(part: Part, vectors: tuple[dict[str, h5py.Dataset], list[str]]) -> NDArray[Any]:
    """One vector per row, from a group's vectors and numbers."""
    kept, left_out = vectors
    if not kept:
        message = f"{part.source}: observations contains no vectors, but {', '.join(left_out[:8]) or 'nothing'}"
        raise SeqrlError(message, "seqrl reads vectors; images would need an encoder first")
    lengths = {name: len(array) for name, array in kept.items()}
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SeqrlError(f"{part.source}: observations has parts of different lengths: {listing}", FILE_HINT)
    check_size(sum(array.nbytes for array in kept.values()), part.size, part.source)
    for name, array in kept.items():
        refuse_packed(array, f"{part.source}: {name}")
    return np.concatenate([np.asarray(array).reshape(len(array), -1) for array in kept.values()], axis=1)


def find_vectors(node: h5py.Group | Mapping[str, Any], source: str) -> tuple[dict[str, h5py.Dataset], list[str]]:
    """The vectors and numbers per row in a group by dotted name, sorted, and the names of all else.

    Raises:
        SeqrlError: the group has too many parts, which a group that contains itself also has.
    """
    kept: dict[str, h5py.Dataset] = {}
    left_out: list[str] = []
    waiting = [(key, node[key]) for key in _sorted(node)]
    for _ in range(MAX_PARTS):
        if not waiting:
            return kept, left_out
        name, part = waiting.pop(0)
        if isinstance(part, h5py.Group):
            waiting = [(f"{name}.{key}", part[key]) for key in _sorted(part)] + waiting
        elif isinstance(part, h5py.Dataset) and part.ndim in (1, 2) and part.dtype.kind in "biuf":
            kept[name] = part
        else:
            left_out.append(name)
    raise SeqrlError(f"{source}: observations has more than {MAX_PARTS} parts", FILE_HINT)


def _sorted(names: Iterable[str]) -> list[str]:
    """Names in order, and those that end in a number behind a point in the order of the numbers."""
    first = sorted(names)[: MAX_PARTS + 1]
    return sorted(first, key=lambda name: int(name.rpartition(".")[2]) if re.search(r"\.\d+$", name) else -1)
