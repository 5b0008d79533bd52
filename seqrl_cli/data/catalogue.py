"""Which dataset a user means by a name or a path.

D4RL's ``-v2`` data was recorded in gym's v2 environments, which gymnasium no longer has: it is evaluated in the ``-v4``
ones. The simulated sets, ``sim/…``, are our own data from those same environments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from seqrl_cli.data.listing import QUALITIES, DatasetSpec, Source, named_datasets
from seqrl_cli.errors import SeqrlError, unknown

__all__ = [
    "EPISODE_STEPS",
    "QUALITIES",
    "DatasetSpec",
    "Source",
    "list_datasets",
    "resolve",
    "scores_of_environment",
    "spec_of_file",
]

EPISODE_STEPS = 1000

# The endings by which a name is taken for a path, whether or not it exists; seqrl_cli.data.formats.read reads these.
FILE_SUFFIXES = (".h5", ".hdf5", ".npz", ".pkl", ".pickle")

_ATTRIBUTE_HINT = "correct the attribute in the file, or remove it"


def list_datasets() -> list[DatasetSpec]:
    """Every dataset that has a name: the simulated ones, then D4RL's, then Minari's."""
    return list(named_datasets().values())


def scores_of_environment(env_id: object) -> tuple[float, float] | None:
    """D4RL's reference returns of an environment; None for one that D4RL does not have."""
    for spec in list_datasets():
        if spec.env_id == env_id and spec.reference_min is not None and spec.reference_max is not None:
            return spec.reference_min, spec.reference_max
    return None


def resolve(dataset_id: str) -> DatasetSpec:
    """The dataset that a user means by a name or a path.

    What ends as a dataset file does, and any file or folder that exists, is a path; its environment and scores are
    those that it states, and are not guessed.

    Raises:
        UsageError: there is no such dataset; the nearest name is offered.
        SeqrlError: the path leads to no file, to one of no known format, or to one that states impossible facts.
    """
    named = named_datasets()
    if dataset_id in named:
        return named[dataset_id]
    path = Path(dataset_id).expanduser()
    if path.suffix.lower() in FILE_SUFFIXES or path.exists():
        # Shell completion lists names through this module and must not wait for h5py.
        from seqrl_cli.data.formats.read import read_attributes

        return spec_of_file(dataset_id, path, read_attributes(path))
    raise unknown("dataset", dataset_id, named, "seqrl download --list")


def spec_of_file(dataset_id: str, path: Path, stated: Mapping[str, str | int | float | bool]) -> DatasetSpec:
    """What a dataset file is, by the attributes that it states.

    Raises:
        SeqrlError: they are impossible.
    """

    def text(name: str) -> str | None:
        value = stated.get(name)
        return value if isinstance(value, str) else None

    def number(name: str) -> float | None:
        value = stated.get(name)
        if value is None:
            return None
        if isinstance(value, str | bool) or not math.isfinite(value):
            raise SeqrlError(f"{path}: its attribute {name} is {value!r}, not a finite number", _ATTRIBUTE_HINT)
        return float(value)

    lowest, highest, steps = number("reference_min"), number("reference_max"), number("max_episode_steps")
    if lowest is not None and highest is not None and lowest >= highest:
        raise SeqrlError(
            f"{path}: its reference_min {lowest:g} is not below its reference_max {highest:g}", _ATTRIBUTE_HINT
        )
    if steps is not None and (steps < 1 or steps != int(steps)):
        raise SeqrlError(f"{path}: its max_episode_steps is {steps:g}, not a whole number above 0", _ATTRIBUTE_HINT)
    return DatasetSpec(
        id=dataset_id,
        source="file",
        env_id=text("env_id"),
        path=path,
        reference_min=lowest,
        reference_max=highest,
        max_episode_steps=None if steps is None else int(steps),
    )
