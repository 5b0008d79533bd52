"""HDF5 files with a group, or a set of arrays, for each episode: robomimic's, ManiSkill's, d3rlpy's and their like.

==============  ===========================================================================================
robomimic       ``data/demo_N/{obs/<key>, actions, rewards, dones}``
ManiSkill       ``traj_N/{obs, actions, rewards, terminated, truncated, success}``, one more observation than actions
d3rlpy 2        ``observations_N``, ``actions_N``, ``rewards_N`` and one flag, ``terminated_N``
d3rlpy 1        flat columns, in which ``episode_terminals`` ends episodes
others          ``<word>_N/{observations, actions, rewards, …}``, or flat columns beside a group of observations
==============  ===========================================================================================

A group is an episode, unless its marks tell of several: then it is read as flat columns are. Else its marks mean what
they mean in a list of episodes, but in its last row alone. In robomimic's and ManiSkill's groups ``dones`` may also
mean that the recording stopped, so there it makes a terminal only with a positive reward. Several observations become
one vector, in sorted order of their names; those that are not vectors, such as images, are left out, and the attributes
state both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import FILE_HINT, Column
from seqrl_cli.data.formats.column_names import FLAG_ROLES, LAYOUT_HINT, NAMES, ColumnNames, columns_to_read, plain_name
from seqrl_cli.data.formats.columns import NO_STEP, PADDING, ReadOptions, join_episodes, read_columns
from seqrl_cli.data.formats.d4rl import read_attributes as flat_attributes
from seqrl_cli.data.formats.d4rl import read_hdf5
from seqrl_cli.data.formats.hdf5_parts import (
    ACTIONS,
    DONES,
    MARKS,
    OBSERVATIONS,
    REWARDS,
    STATES,
    SUCCESS,
    SUCCESS_KINDS,
    TERMINALS,
    Part,
    find_episode_parts,
    find_flat_part,
    find_vectors,
    holds_several_episodes,
    join_vectors,
    refuse_packed,
)
from seqrl_cli.data.formats.minari import read_minari, read_minari_attributes
from seqrl_cli.data.formats.minari_metadata import MAIN, data_folder
from seqrl_cli.data.formats.padding import rows_before_padding
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hdf5 import Scalar, open_hdf5
from seqrl_cli.files.regular import check_size


def read_any_hdf5(path: Path, options: ReadOptions) -> Episodes:
    """Read an HDF5 file of any layout.

    Raises:
        SeqrlError: the file is missing or damaged, or contains other data.
    """
    if path.name == MAIN and data_folder(path.parent) == path.parent:
        return read_minari(path.parent, options)
    with open_hdf5(path, FILE_HINT) as file:
        size = path.stat().st_size
        flat = find_flat_part(file, str(path), size)
        if flat is not None:
            return read_columns(_flat_columns(flat, options), str(path), options)
        parts = find_episode_parts(file, str(path), size, options.log)
        if parts:
            return join_episodes(_read_parts(parts, options))
    return read_hdf5(path, options)


def read_hdf5_attributes(path: Path) -> dict[str, Scalar]:
    """The attributes of an HDF5 file, and which observations were joined or left out.

    Raises:
        SeqrlError: the file is missing or damaged.
    """
    if path.name == MAIN and data_folder(path.parent) == path.parent:
        return read_minari_attributes(path.parent)
    stated = flat_attributes(path)
    with open_hdf5(path, FILE_HINT) as file:
        size = path.stat().st_size
        flat = find_flat_part(file, str(path), size)
        part = flat or next(iter(find_episode_parts(file, str(path), size, ReadingLog())), None)
        node = part.find(OBSERVATIONS) if part is not None else None
        if part is None or not isinstance(node, h5py.Group):
            return stated
        kept, left_out = find_vectors(node, part.source)
    stated["observation_keys"] = " ".join(kept)
    if left_out:
        stated["left_out_keys"] = " ".join(left_out)
    return stated


def _flat_columns(part: Part, options: ReadOptions) -> dict[str, Column]:
    names = columns_to_read(part.nodes, part.source, options.log)
    columns: dict[str, Any] = {name: part.nodes[name] for name in names.needed}
    for name in names.possible:
        node = part.nodes[name]
        if isinstance(node, h5py.Dataset) and names.is_possible(name, node.size):
            columns[name] = node
    observations = names.first("observations") or ""
    node = columns[observations]
    if isinstance(node, h5py.Group):
        is_next = {name for name in columns if plain_name(name) in NAMES["next_observations"]}
        columns = {name: column for name, column in columns.items() if name not in is_next}
        vectors = find_vectors(node, part.source)
        _remark_left_out(vectors[1], options)
        columns[observations] = join_vectors(part, vectors)
        for goal in names.goals:
            columns.pop(goal, None)
            options.log.leave_out([goal])
    groups = [name for name, column in columns.items() if isinstance(column, h5py.Group)]
    if groups:
        raise SeqrlError(f"{part.source}: {', '.join(groups)} is a group, not an array", LAYOUT_HINT)
    arrays = [column for column in columns.values() if isinstance(column, h5py.Dataset)]
    check_size(sum(column.nbytes for column in arrays), part.size, part.source)
    for column in arrays:
        refuse_packed(column, f"{part.source}: {column.name.rpartition('/')[2]}")
    return columns


def _read_parts(parts: list[Part], options: ReadOptions) -> Iterator[tuple[str, Episodes]]:
    claimed, first = 0, None
    whole = replace(options, default_steps=None)
    for part in map(Part.opened, parts):
        if part.is_empty:
            options.log.warn(NO_STEP)
            continue
        is_recording = holds_several_episodes(part)
        if is_recording:
            options.log.remark("read groups with ends of episodes in them as recordings of several episodes")
            columns = _flat_columns(part, options)
        else:
            columns, names = _columns_of_episode(part, options)
            first = (part.source, names) if first is None else first
            if names != first[1]:
                message = f"{part.source} has the observations {', '.join(names)}"
                hint = "all episodes must have the same observations"
                raise SeqrlError(f"{message}, but {first[0]} has {', '.join(first[1])}", hint)
        claimed += sum(column.nbytes for column in columns.values())
        check_size(claimed, part.size, part.source)
        yield part.source, read_columns(columns, part.source, options if is_recording and options.step_limit else whole)


def _columns_of_episode(part: Part, options: ReadOptions) -> tuple[dict[str, Column], list[str]]:
    """The columns of a group that is one episode, and the names of its observations' parts."""
    actions, rewards = part.array(ACTIONS), part.array(REWARDS)
    known = (*SUCCESS, *OBSERVATIONS, *STATES)
    others = (name for name in part.nodes if "." not in name and name not in known)
    ColumnNames.of(part.nodes).note_left_out(others, options.log)
    observations, names = _observations(part, options)
    steps = len(actions)
    if len(observations) not in (steps, steps + 1):
        message = f"{part.source} has {len(observations)} observations and {steps} actions"
        raise SeqrlError(message, "there must be as many, or one more")
    goals = {} if names else _goals(part, steps)
    data: dict[str, Column] = {"observations": observations[:steps], "actions": actions, "rewards": rewards, **goals}
    if part.kind in SUCCESS_KINDS:
        is_last = np.arange(steps) == steps - 1
        if _has_dones_and_shaped_rewards(part, rewards):
            options.log.has_shaped_rewards = True
            return {**data, "dones": is_last & _last(part.find(DONES))}, names
        is_terminal = _ends_in_terminal(part, rewards, options)
        return {**data, "terminals": is_last & is_terminal, "timeouts": is_last & (not is_terminal)}, names
    marks, kept = _marks(part, steps), steps
    if len(rewards) == steps:
        seen = observations[len(observations) - steps :]  # those after the actions, where there is one more
        kept = rows_before_padding(marks, ColumnNames.of(marks), (seen, actions, rewards))
    if kept < steps:
        options.log.remark(PADDING)
        data = {name: column[:kept] for name, column in data.items()}
    return data | _ending(part, marks, kept), names


def _goals(part: Part, steps: int) -> dict[str, Column]:
    """Columns of goals with a row per step, or one more."""
    nodes = {name: part.nodes[name] for name in ColumnNames.of(part.nodes).goals}
    arrays = {name: part.array((name,)) for name, node in nodes.items() if isinstance(node, h5py.Dataset) and node.ndim}
    return {name: array[:steps] for name, array in arrays.items()}


def _marks(part: Part, steps: int) -> dict[str, Column]:
    """What tells how an episode ended and which rows are padding: a number per action ``(steps,)``, or in all ``()``.

    A column may have a row more, as observations have: then a mark of an end is that of the observation that follows,
    and anything else that of the observation before.
    """
    names = ColumnNames.of(part.nodes)
    found: dict[str, Column] = {}
    for role in MARKS:
        for name in names.by_role.get(role, ()):
            node = part.nodes[name]
            if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "biuf":
                continue
            if node.shape in ((), (1,)):
                found[name] = np.asarray(node[()]).reshape(())
            elif node.shape in ((steps,), (steps, 1)):
                found[name] = np.asarray(node[()]).reshape(-1)
            elif node.shape in ((steps + 1,), (steps + 1, 1)):
                rows = np.asarray(node[()]).reshape(-1)
                found[name] = rows[:-1] if role == "starts" else rows[1:]
    return found


def _ending(part: Part, marks: dict[str, Column], kept: int) -> dict[str, Column]:
    """Marks of the last row alone, because a group ends there whatever it marks before, and of the first row."""
    is_last = np.arange(kept) == kept - 1
    names = ColumnNames.of(marks)
    found: dict[str, Column] = {}
    for role in (*FLAG_ROLES, "continues"):
        for name in names.by_role.get(role, ()):
            values = np.atleast_1d(np.asarray(marks[name]))
            mark = values[min(kept, len(values)) - 1]
            if role == "continues" and (len(values) == 1 or values.any()):
                found[name] = 1.0 - (is_last & (mark == 0))
            elif role != "continues" and np.isin(values, (0, 1)).all():
                found[name] = is_last & bool(mark)
    for others in (TERMINALS, DONES):  # such as 0 and 255, or a flag per agent
        nodes = [part.nodes[name] for name in others if name in part.nodes and _has_last(part.nodes[name])]
        if nodes and not any(name in found for name in others):
            found[others[0]] = is_last & _last(nodes[0])
    for name in names.by_role.get("starts", ()):
        if np.array_equal(np.asarray(marks[name])[()], np.arange(np.size(marks[name])) == 0) and np.ndim(marks[name]):
            found[name] = np.arange(kept) == 0
    for name in names.by_role.get("step_types", ()):
        kinds = np.asarray(marks[name])
        if kinds.ndim and kinds[0] == 0 and (kinds[1 : kept - 1] == 1).all() and kinds[kept - 1] in range(4):
            found[name] = kinds[:kept]
    tells = ColumnNames.of(found).by_role.keys() & {"terminals", "dones", "continues", "step_types"}
    if not tells and (success := part.find(SUCCESS)) is not None:
        found["terminals"] = is_last & _last(success)
    return found


def _has_dones_and_shaped_rewards(part: Part, rewards: NDArray[Any]) -> bool:
    """Whether nothing but ``dones`` tells of the end, and rewards of several sizes do not tell success either."""
    tells = any(part.find(names) is not None for names in (TERMINALS, SUCCESS)) or part.find(DONES) is None
    earned = rewards[rewards > 0] if (rewards > 0).any() else rewards[rewards < 0]
    return not tells and len(np.unique(earned.astype(np.float32))) > 1


def _ends_in_terminal(part: Part, rewards: NDArray[Any], options: ReadOptions) -> bool:
    terminals = part.find(TERMINALS)
    if terminals is None and part.find(SUCCESS) is None and part.find(DONES) is not None:
        options.log.remark("an episode whose last row is done ends in a terminal if its last reward is above 0")
        return _last(part.find(DONES)) and rewards.size > 0 and float(rewards.reshape(-1)[-1]) > 0
    return _last(terminals if terminals is not None else part.find(SUCCESS))


def _has_last(flags: Any) -> bool:
    """Whether an array of numbers has a last one."""
    return isinstance(flags, h5py.Dataset) and bool(flags.size) and flags.dtype.kind in "biuf"


def _last(flags: Any) -> bool:
    """The last flag, or the only one; False without any."""
    if not _has_last(flags):
        return False
    return bool(np.asarray(flags).reshape(-1)[-1])


def _observations(part: Part, options: ReadOptions) -> tuple[NDArray[Any], list[str]]:
    """An episode's observations ``(n, O)``, and the names of their parts; none if they are one array."""
    pieces = {key: part.nodes[key] for key in part.nodes if key.startswith("observations.")}
    names = OBSERVATIONS if part.kind == "demo" else (*OBSERVATIONS, *STATES)
    node = pieces or part.require(names)
    if isinstance(node, h5py.Dataset):
        return part.array(names), []
    vectors = find_vectors(node, part.source)
    _remark_left_out(vectors[1], options)
    return join_vectors(part, vectors), list(vectors[0])


def _remark_left_out(names: list[str], options: ReadOptions) -> None:
    if names:
        options.log.remark(f"left out the observations {', '.join(names[:5])}, which are not vectors")
