"""Flat columns, and two forms in which arrays hold whole episodes.

- Arrays ``(episodes, steps, …)``: equally long episodes, or shorter ones that are filled up with zeros, or with rows
  in which their end stays marked.
- ``imitation``'s archives: all steps in ``acts`` and ``rews``, one more observation per episode in ``obs``, the first
  step of each episode but the first in ``indices``, and one flag per episode in ``terminal``. That flag says that the
  episode was played to its end, be that a time limit, so it means what ``dones`` means elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import Column
from seqrl_cli.data.formats.column_names import FLAG_ROLES, NAMES, REQUIRED, ColumnNames, plain_name, role_of
from seqrl_cli.data.formats.columns import NO_STEP, ReadOptions, join_episodes, read_columns
from seqrl_cli.errors import SeqrlError

_IMITATION = ("obs", "acts", "terminal", "indices")
_COMPARED = 100  # episodes and steps
_SWAP_HINT = "if the first axis counts the steps, exchange it with the second: np.swapaxes(array, 0, 1)"


def read_table(columns: Mapping[str, Column], source: str, options: ReadOptions) -> Episodes:
    """Check the columns of a whole file and split them into episodes.

    Args:
        columns: columns by their names in the file.
        source: name of the file in errors.
        options: the options of reading.

    Raises:
        SeqrlError: a column has the wrong shape or values, or there are no rows.
    """
    if is_of_imitation(columns):
        parts = list(_episodes_of_imitation(columns, source))
    elif shape := _stacked_shape(columns):
        options.log.remark(f"took the axes {shape} for episodes and steps")
        parts = _unstacked({name: np.asarray(column) for name, column in columns.items()}, shape, source, options)
    else:
        return read_columns(columns, source, options)
    whole = replace(options, default_steps=None)
    named = ((f"{source}, episode {index}", part) for index, part in enumerate(parts))
    return join_episodes((name, read_columns(part, name, whole)) for name, part in named)


def is_of_imitation(names: Collection[str]) -> bool:
    """Whether columns have the names that the library ``imitation`` gives them."""
    return all(name in names for name in _IMITATION)


def _episodes_of_imitation(columns: Mapping[str, Column], source: str) -> Iterator[dict[str, NDArray[Any]]]:
    names = ColumnNames.of(columns)
    observations, actions, rewards, terminal, indices = (
        np.asarray(columns[name or ""]) for name in ("obs", "acts", names.first("rewards"), "terminal", "indices")
    )
    count, steps = terminal.size, len(actions)
    starts = indices.reshape(-1)
    lengths = np.diff([0, *starts.tolist(), steps]) if starts.dtype.kind in "iu" or not starts.size else np.zeros(1)
    if len(lengths) != count or (lengths < 1).any() or len(observations) != steps + count or len(rewards) != steps:
        sizes = f"obs {len(observations)}, acts {steps}, rews {len(rewards)}, terminal {count}, indices {starts.size}"
        raise SeqrlError(f"{source}: its columns do not fit together: {sizes}", "save it again with imitation")
    for index, length in enumerate(lengths.tolist()):
        first = int(lengths[:index].sum())
        yield {
            "observations": observations[first + index : first + index + length + 1],
            "actions": actions[first : first + length],
            "rewards": rewards[first : first + length],
            "dones": (np.arange(length) == length - 1) & bool(terminal.reshape(-1)[index]),
        }


def _stacked_shape(columns: Mapping[str, Column]) -> tuple[int, int] | None:
    """Episodes and steps of arrays that have both as their first axes; None for flat columns."""
    names = ColumnNames.of(columns)
    observations, actions, rewards = (columns[names.first(role) or ""] for role in REQUIRED)
    if rewards.ndim not in (2, 3) or rewards.shape[2:] not in ((), (1,)) or rewards.shape[1] < 2:
        return None
    episodes, steps = rewards.shape[:2]
    if actions.shape[:2] != (episodes, steps) or observations.ndim < 3:
        return None
    return (episodes, steps) if observations.shape[:2] in ((episodes, steps), (episodes, steps + 1)) else None


def _unstacked(
    columns: dict[str, NDArray[Any]], shape: tuple[int, int], source: str, options: ReadOptions
) -> list[dict[str, NDArray[Any]]]:
    """The columns of each episode, without the zeros after its end.

    Raises:
        SeqrlError: the first axis seems to be that of the steps.
    """
    names = ColumnNames.of(columns)
    observations = names.first("observations") or ""
    extra = columns[observations].shape[1] - shape[1]  # 1 if there is one after the last action
    _refuse_swapped(columns[observations], source)
    # Next observations are not needed to find the end of the episode.
    by_step = {
        name: _as_rows(column, is_action=name in names.by_role["actions"])
        for name, column in columns.items()
        if column.shape[:2] == shape and plain_name(name) not in NAMES["next_observations"]
    }
    longer = {
        name for name in (observations, *names.goals) if columns[name].shape[:2] == columns[observations].shape[:2]
    }
    by_step |= {name: columns[name] for name in longer}
    endings = {
        name: column.reshape(-1)
        for name, column in columns.items()
        if role_of(name) in FLAG_ROLES and column.shape in (shape[:1], (shape[0], 1)) and np.isin(column, (0, 1)).all()
    }
    _warn_of_others(columns, {*by_step, *endings}, names, shape, options)
    rows = _rows(columns, names, shape, options)
    if dropped := sum(shape[1] - count for count in rows):
        options.log.remark(f"left out {dropped:,} rows of padding")
    if 0 in rows:
        options.log.warn(NO_STEP)
    return [
        {name: column[index, : count + (extra if name in longer else 0)] for name, column in by_step.items()}
        | {name: np.asarray(column[index]) for name, column in endings.items()}
        for index, count in enumerate(rows)
        if count
    ]


def _warn_of_others(
    columns: Mapping[str, NDArray[Any]],
    used: Collection[str],
    names: ColumnNames,
    shape: tuple[int, int],
    options: ReadOptions,
) -> None:
    """Warn of flags that are neither one per step nor one per episode."""
    for name in (name for role in (*FLAG_ROLES, "ends") for name in names.by_role.get(role, ())):
        column = columns.get(name)
        if column is not None and name not in used and column.size > 1:
            form = f"has the shape {column.shape}, and is not a flag for {shape} or {shape[:1]}"
            options.log.warn(f"{name} is not read, because it {form}")


def _as_rows(column: NDArray[Any], *, is_action: bool) -> NDArray[Any]:
    """Numbers ``(episodes, steps, 1)`` as ``(episodes, steps)``, which only actions may not be."""
    return column if is_action or column.shape[2:] != (1,) else column[:, :, 0]


def _rows(
    columns: Mapping[str, NDArray[Any]], names: ColumnNames, shape: tuple[int, int], options: ReadOptions
) -> list[int]:
    """How many rows of each episode are no padding: as its length says, else up to the zeros after its last end.

    What else tells of padding is looked at in each episode by itself.
    """
    stated = names.first("lengths")
    if stated and columns[stated].shape in (shape[:1], (shape[0], 1)) and columns[stated].dtype.kind in "iuf":
        lengths = columns[stated].reshape(-1)
        if ((lengths >= 0) & (lengths <= shape[1]) & (lengths == np.round(lengths))).all():
            return [int(length) for length in lengths]
    if stated and columns[stated].shape in (shape[:1], (shape[0], 1)):
        options.log.warn(f"{stated} is not read, because its values are not lengths of {shape[0]:,} episodes")
    flags = [columns[name] for role in FLAG_ROLES for name in names.by_role.get(role, ())]
    ended = _any([flag for flag in flags if flag.shape[:2] == shape], shape)
    observations, actions, rewards = (columns[names.first(role) or ""] for role in REQUIRED)
    after = observations[:, observations.shape[1] - shape[1] :]  # the one after an action, where there is one
    used = _any([after, actions, rewards], shape) | ended
    last = np.where(used, np.arange(1, shape[1] + 1), 0).max(axis=1)
    is_marked = (last > 0) & ended[np.arange(shape[0]), last - 1]
    masks = (*names.by_role.get("continues", ()), *names.by_role.get("padding", ()))
    is_masked = any(columns[name].shape[:2] == shape for name in masks)
    if not is_masked and (doubtful := int(((last < shape[1]) & ~is_marked).sum())):
        options.log.warn(f"{doubtful:,} of {shape[0]:,} episodes have zeros at their end, but no mark before them")
    return [int(count) for count in np.where(is_marked, last, shape[1])]


def _any(arrays: list[NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where any number of a step is not zero, ``(episodes, steps)``."""
    found = np.zeros(shape, np.bool_)
    for array in arrays:
        found |= array[:, : shape[1]].reshape(*shape, -1).any(axis=2)
    return found


def _refuse_swapped(observations: NDArray[Any], source: str) -> None:
    """Stop where observations change less along the first axis than along the second, as those of one episode do."""
    episodes, steps = observations.shape[:2]
    if episodes < 2:
        return
    values = observations[:_COMPARED, :_COMPARED].reshape(min(episodes, _COMPARED), min(steps, _COMPARED), -1)
    along_first, along_second = (float(np.abs(np.diff(values.astype(np.float32), axis=axis)).mean()) for axis in (0, 1))
    if along_first < along_second / 2:
        shape = observations.shape
        message = f"{source}: observations of shape {shape} change less along the first axis than along the second"
        raise SeqrlError(message, _SWAP_HINT)
