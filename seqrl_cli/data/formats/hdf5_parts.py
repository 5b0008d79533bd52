"""Where HDF5 files keep their episodes, if not in flat columns: groups, numbered arrays, groups of observations.

Groups that stand side by side and have actions are episodes, if their names have digits: ``demo_3``,
``demo_3_mirrored``, a UUID. A group may also contain a whole recording of several episodes, such as a worker's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.console import counted
from seqrl_cli.data.formats.checked_columns import FILE_HINT
from seqrl_cli.data.formats.column_names import END_ROLES, LAYOUT_HINT, NAMES, REQUIRED, ColumnNames
from seqrl_cli.data.formats.episode_ends import flags_from_lengths
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.files.regular import check_size

OBSERVATIONS = ("observations", "obs", "observation")
STATES = ("states", "state")  # of the simulator, in robomimic's files
ACTIONS = ("actions", "action")
REWARDS = ("rewards", "reward")
TERMINALS = NAMES["terminals"]
DONES = NAMES["dones"]
SUCCESS = ("success",)

MARKS = ("terminals", "timeouts", "dones", "continues", "starts", "step_types", "lengths", "padding")
"""The roles of columns that tell how the one episode of a group ended, and which of its rows are padding."""

MAX_PARTS = 1000

_MOSTLY = 0.5

SUCCESS_KINDS = ("demo", "traj")
"""Groups of robomimic and ManiSkill, in which terminals and dones mark success, which may come and go."""

_MISSING_HINTS = {
    "demo": "robomimic/scripts/dataset_states_to_obs.py adds observations, rewards and dones to simulator states",
    "traj": "python -m mani_skill.trajectory.replay_trajectory --traj-path FILE -o state --record-rewards --save-traj",
}


@dataclass(frozen=True)
class Part:
    """One episode's arrays and groups, or those of a whole recording.

    Attributes:
        source: name of the part in errors.
        kind: the word at the beginning of its name.
        nodes: arrays and groups by name.
        size: bytes of the file, which limit those of its arrays.
    """

    source: str
    kind: str
    nodes: Mapping[str, Any]
    size: int

    def opened(self) -> Part:
        """The same with a dictionary of its nodes, because looking for a name in a group takes long."""
        return replace(self, nodes=dict(self.nodes.items()))

    @property
    def is_empty(self) -> bool:
        """Whether there is neither an action nor a reward, though there are arrays of both."""
        arrays = (self.find(ACTIONS), self.find(REWARDS))
        return all(isinstance(array, h5py.Dataset) and array.shape[:1] == (0,) for array in arrays)

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

    def per_row(self, name: str) -> NDArray[Any] | None:
        """A column with a number, or a text, per action; None if it is something else."""
        node = self.nodes.get(name)
        actions = self.find(ACTIONS)
        if not isinstance(node, h5py.Dataset) or not isinstance(actions, h5py.Dataset) or node.shape is None:
            return None
        is_column = node.dtype.kind in "biufSO" and node.shape in (actions.shape[:1], (*actions.shape[:1], 1))
        if not is_column or not actions.shape or actions.shape[0] < 2:
            return None
        check_size(node.nbytes, self.size, self.source)
        return np.asarray(node[()]).reshape(-1)

    def has_lengths(self, name: str) -> bool:
        """Whether a column has the lengths of several episodes, which add up to the actions."""
        node, actions = self.nodes.get(name), self.find(ACTIONS)
        if not isinstance(node, h5py.Dataset) or not isinstance(actions, h5py.Dataset):
            return False
        if node.dtype.kind not in "iuf" or node.ndim != 1 or node.size < 2 or not actions.shape:
            return False
        check_size(node.nbytes, self.size, self.source)
        return flags_from_lengths(np.asarray(node[()]), actions.shape[0]) is not None

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
    tells_ends = not ColumnNames.of(file).by_role.keys().isdisjoint(END_ROLES)
    is_grouped = isinstance(found.find(OBSERVATIONS), h5py.Group) and tells_ends
    is_d3rlpy = "episode_terminals" in file and "observations" in file
    return found if has_rows and (is_grouped or is_d3rlpy) else None


def find_episode_parts(file: h5py.File, source: str, size: int, log: ReadingLog) -> list[Part]:
    """The file's episodes in the natural order of their names; none if it has another layout."""
    if any(isinstance(file.get(name), h5py.Dataset) for name in ACTIONS):
        return []
    for parent in (file, file.get("data")):
        if isinstance(parent, h5py.Group):
            found = _groups(parent, source, size, log) or _numbered_arrays(parent, source, size)
            if found:
                return found
    return []


def holds_several_episodes(part: Part) -> bool:
    """Whether a group is a recording of several episodes, as marks within it tell.

    A mark of an end is followed by a row without one, a first row comes later, an episode's number changes, or a step
    counter starts again.
    """
    names = ColumnNames.of(part.nodes)
    is_success = part.kind in SUCCESS_KINDS
    return any(map(part.has_lengths, names.by_role.get("lengths", ()))) or any(
        values is not None and bool(np.any(test(values)))
        for role, test in _RETURNS.items()
        if not (is_success and role in ("terminals", "dones", "continues"))
        for name in names.by_role.get(role, ())
        if (values := part.per_row(name)) is not None
    )


def _falls(values: NDArray[Any]) -> Any:
    """Where a flag is followed by none; False if the column does not contain flags."""
    return np.isin(values, (0, 1)).all() and (values[:-1] > values[1:])


def _changes(ids: NDArray[Any]) -> Any:
    """Where the number of the episode changes; nowhere if most rows have a number of their own."""
    changes = ids[1:] != ids[:-1]
    return changes & (changes.mean() < _MOSTLY)


def _restarts(steps: NDArray[Any]) -> Any:
    """Where a counter starts again at its first number, other than after its type's largest."""
    if steps.dtype.kind not in "iuf":
        return False
    is_full = steps[:-1] == np.iinfo(steps.dtype).max if steps.dtype.kind in "iu" else False
    return (steps[1:] < steps[:-1]) & (steps[1:] == steps[0]) & ~np.asarray(is_full)


_RETURNS: dict[str, Callable[[NDArray[Any]], Any]] = {
    **dict.fromkeys(("timeouts", "ends", "terminals", "dones"), _falls),
    "starts": lambda values: _falls(values[::-1]),
    "continues": lambda values: _falls(1 - values) if np.isin(values, (0, 1)).all() else False,
    "step_types": lambda values: values[1:] == 0,
    "ids": _changes,
    "steps": _restarts,
}
"""Whether a column tells that another episode follows, by its role."""


def _groups(parent: h5py.Group, source: str, size: int, log: ReadingLog) -> list[Part]:
    """The groups with actions and a number in the name, and groups without actions whose names differ only in it."""
    found: dict[str, Part] = {}
    for name in sorted(parent, key=natural_order):
        group = parent.get(name)
        if isinstance(group, h5py.Group):
            kind = re.match(r"[^\W\d_]*", name)
            found[name] = Part(f"{source}, {name}", kind[0] if kind else "", group, size)
    whole = [name for name, part in found.items() if part.find(ACTIONS) is not None]
    forms = {_form(name) for name in whole if re.search(r"\d", name)}
    others = [name for name in whole if _form(name) not in forms and found[name].find(REWARDS) is not None]
    if forms and others:
        shown = ", ".join([*others[:3], *(["…"] if len(others) > 3 else [])])
        are = "is not read, because its name has" if len(others) == 1 else "are not read, because their names have"
        log.warn(f"{counted(len(others), 'group')} {are} no number: {shown}")
    return [part for name, part in found.items() if _form(name) in forms]


def _form(name: str) -> str:
    return re.sub(r"\d+", "0", name)


_NUMBERED = {*REQUIRED, *(name for role in MARKS for name in NAMES[role])}


def _numbered_arrays(parent: h5py.Group, source: str, size: int) -> list[Part]:
    """The arrays ``observations_N``, ``actions_N`` and so on of each N; ``observations_N_M`` are parts of one."""
    nodes: dict[int, dict[str, Any]] = {}
    for name in parent:
        match = re.fullmatch(r"([a-z_]+)_(\d{1,9})(?:_(\d{1,9}))?", name)
        if match is not None and match[1] in _NUMBERED:
            key = match[1] if match[3] is None else f"{match[1]}.{match[3]}"
            nodes.setdefault(int(match[2]), {})[key] = parent[name]
    nodes = {number: node for number, node in nodes.items() if not node.keys().isdisjoint(REQUIRED)}
    return [Part(f"{source}, episode {number}", "d3rlpy", nodes[number], size) for number in sorted(nodes)]


def refuse_packed(column: h5py.Dataset, source: str) -> None:
    """Stop at numbers that netCDF's conventions change when they are read: scaled ones, and those that mean none.

    Args:
        column: a column of a file.
        source: name of the column in errors.

    Raises:
        SeqrlError: it contains such numbers.
    """
    attributes = column.attrs
    neutral = {"scale_factor": 1, "add_offset": 0}
    packed = [name for name, number in neutral.items() if name in attributes and np.any(attributes[name] != number)]
    if packed:
        message = f"{source} is packed: its attributes {' and '.join(packed)} change its numbers"
        raise SeqrlError(message, "save the numbers themselves, for example as xarray.open_dataset reads them")
    for name in ("_FillValue", "missing_value"):
        fill = np.asarray(attributes.get(name, np.nan)).reshape(-1)
        is_number = fill.size == 1 and fill.dtype.kind in "biuf" and not np.isnan(fill[0])
        if is_number and column.dtype.kind in "iuf" and (np.asarray(column[()]) == fill[0]).any():
            message = f"{source} contains {fill[0]:g}, which its attribute {name} marks as missing"
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
    """Names in order; those that differ only in a number behind the last point are in the order of the numbers."""

    def key(name: str) -> tuple[str, int]:
        match = re.fullmatch(r"(.*)\.(\d+)", name, re.ASCII | re.DOTALL)
        return (match[1], int(match[2])) if match else (name, -1)

    return sorted(sorted(names)[: MAX_PARTS + 1], key=key)
