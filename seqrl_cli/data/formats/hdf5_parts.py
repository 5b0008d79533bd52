"""Where HDF5 files keep their episodes, if not in flat columns: groups, numbered arrays, groups of observations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.formats.column_names import LAYOUT_HINT
from seqrl_cli.data.formats.columns import FILE_HINT, check_size
from seqrl_cli.errors import SeqrlError

OBSERVATIONS = ("observations", "obs", "observation")
STATES = ("states", "state")  # of the simulator, in robomimic's files
ACTIONS = ("actions", "action")
REWARDS = ("rewards", "reward")
TERMINALS = ("terminated", "terminations", "terminals", "terminal")
DONES = ("dones", "done")
SUCCESS = ("success",)

MAX_PARTS = 1000

_MISSING_HINTS = {
    "demo": "robomimic/scripts/dataset_states_to_obs.py adds observations, rewards and dones to simulator states",
    "traj": "python -m mani_skill.trajectory.replay_trajectory --traj-path FILE -o state --record-rewards --save-traj",
}


@dataclass(frozen=True)
class Part:
    """One episode's arrays and groups, or those of a whole file.

    Attributes:
        source: its name in errors.
        kind: the word before its number.
        nodes: arrays and groups by name.
        size: bytes of the file, which limit those of its arrays.
    """

    source: str
    kind: str
    nodes: Mapping[str, Any]
    size: int

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

    def array(self, names: tuple[str, ...]) -> NDArray[Any]:
        """The first of these, which must be an array; errors as for :meth:`require`."""
        node = self.require(names)
        if not isinstance(node, h5py.Dataset) or node.ndim == 0:
            raise SeqrlError(f"{self.source}: {names[0]} is not an array", LAYOUT_HINT)
        check_size(node.nbytes, self.size, self.source)
        return np.asarray(node)


def find_flat_part(file: h5py.File, source: str, size: int) -> Part | None:
    """The whole file, if it has flat columns with d3rlpy's own flags or with a group of observations."""
    found = Part(source, "flat", file, size)
    has_rows = isinstance(found.find(ACTIONS), h5py.Dataset)
    is_grouped = isinstance(found.find(OBSERVATIONS), h5py.Group) and "terminals" in file
    is_d3rlpy = "episode_terminals" in file and "observations" in file
    return found if has_rows and (is_grouped or is_d3rlpy) else None


def find_episode_parts(file: h5py.File, source: str, size: int) -> list[Part]:
    """The file's episodes in the order of their numbers; none if it has another layout."""
    if any(isinstance(file.get(name), h5py.Dataset) for name in ACTIONS):
        return []
    for parent in (file, file.get("data")):
        if isinstance(parent, h5py.Group):
            found = _groups(parent, source, size) or _numbered_arrays(parent, source, size)
            if found:
                return [part for _, part in sorted(found.items())]
    return []


def _groups(parent: h5py.Group, source: str, size: int) -> dict[tuple[str, int], Part]:
    """The numbered groups, by word and number. Words without a group that has actions are left out."""
    found = {}
    for name in parent:
        numbered = re.fullmatch(r"(.*?)_?(\d{1,9})", name)
        group = parent.get(name) if numbered else None
        if numbered and isinstance(group, h5py.Group):
            found[numbered[1], int(numbered[2])] = Part(f"{source}, {name}", numbered[1], group, size)
    words = {word for (word, _), part in found.items() if part.find(ACTIONS) is not None}
    return {key: part for key, part in found.items() if key[0] in words}


def _numbered_arrays(parent: h5py.Group, source: str, size: int) -> dict[tuple[str, int], Part]:
    """The arrays ``observations_N``, ``actions_N`` and so on of each N; ``observations_N_M`` are parts of one."""
    nodes: dict[int, dict[str, Any]] = {}
    for name in parent:
        match = re.fullmatch(r"(observations|actions|rewards|terminated)_(\d{1,9})(?:_(\d{1,9}))?", name)
        if match is not None:
            key = match[1] if match[3] is None else f"{match[1]}.{match[3]}"
            nodes.setdefault(int(match[2]), {})[key] = parent[name]
    return {
        ("", number): Part(f"{source}, episode {number}", "d3rlpy", episode, size) for number, episode in nodes.items()
    }


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
