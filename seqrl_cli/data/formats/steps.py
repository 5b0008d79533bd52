"""Recordings as a list of steps, each a dictionary of what was seen, done and earned in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from seqrl_cli.data.formats.column_names import ColumnNames
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.tensors import PlainTensor
from seqrl_cli.files.safe_pickle.views import is_objects, mapping, sequence
from seqrl_cli.files.safe_pickle.vocabulary import MAX_DIMENSIONS, PlainArray, is_shape

_STEPS_HINT = "every step needs the same entries, for example observation, action, reward and done"


def is_step(value: Any) -> bool:
    """Whether plain data is one step: a dictionary with a reward that is one number, and a single observation."""
    columns = mapping(value)
    if columns is None:
        return False
    names = ColumnNames.of(columns)
    rewards, observations = names.first("rewards"), names.first("observations")
    if rewards is None or observations is None:
        return False
    reward = _shape(columns[rewards])
    return reward == () or (reward == (1,) and len(_shape(columns[observations]) or ()) == 1)


def by_column(steps: Sequence[Any], source: str) -> dict[str, list[Any]]:
    """Columns with one entry per step.

    Args:
        steps: the steps, at least one, from a restricted reader.
        source: name of the file, and of the episode in it, in errors.

    Raises:
        SeqrlError: something among them is no step, or lacks an entry that others have.
    """
    rows = [mapping(step) for step in steps]
    first = rows[0]
    assert first is not None, "is_step has seen it"
    known = _known(first)
    for index, row in enumerate(rows):
        if row is not None and row.keys() == first.keys():
            continue
        here = _known(row or {})
        if missing := [name for name in known if name not in here]:
            raise SeqrlError(f"{source}: step {index} has no {missing[0]}", _STEPS_HINT)
        if added := [name for name in here if name not in known]:
            raise SeqrlError(f"{source}: step {index} has {added[0]}, which step 0 has not", _STEPS_HINT)
    return {name: [row[name] for row in rows if row is not None] for name in known}


def _known(step: Mapping[str, Any]) -> list[str]:
    """The names in a step that say something about it."""
    names = ColumnNames.of(step)
    return [*(name for those in names.by_role.values() for name in those), *names.doubtful]


def _shape(value: Any, depth: int = 0) -> tuple[int, ...] | None:
    """The shape of numbers; None for anything else."""
    if depth > MAX_DIMENSIONS:
        return None
    if isinstance(value, bool | int | float):
        return ()
    if isinstance(value, PlainTensor):
        return tuple(value.size)
    if isinstance(value, PlainArray) and not is_objects(value):
        return value.shape if is_shape(value.shape) else None
    rows = sequence(value)
    if not rows:
        return None
    inner = _shape(rows[0], depth + 1)
    return None if inner is None or math.prod(inner) == 0 else (len(rows), *inner)
