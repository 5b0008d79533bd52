"""Which datasets exist, where they come from, and the reference scores that go with them.

D4RL's URLs and reference scores are those of its own list (d4rl/infos.py). Its ``-v2`` data was recorded in gym's v2
environments, which gymnasium no longer has: it is evaluated in the ``-v4`` ones. The simulated sets, ``sim/…``, are our
own data from those same environments; D4RL's reference scores normalise them, because they belong to the environment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqrl_cli.errors import SeqrlError, unknown

Source = Literal["d4rl", "sim", "file"]

QUALITIES = ("random", "medium", "medium-replay", "medium-expert", "expert")
EPISODE_STEPS = 1000

# The endings by which a name is taken for a path, whether or not it exists; seqrl_cli.data.formats reads these.
FILE_SUFFIXES = (".h5", ".hdf5", ".npz", ".pkl", ".pickle")

_ATTRIBUTE_HINT = "correct the attribute in the file, or remove it"
_D4RL_URL = "http://rail.eecs.berkeley.edu/datasets/offline_rl/gym_mujoco_v2"


@dataclass(frozen=True)
class _Family:
    env_id: str
    reference_min: float
    reference_max: float
    observation_size: int | None = None


_FAMILIES = {
    "hopper": _Family("Hopper-v4", -20.272305, 3234.3),
    "halfcheetah": _Family("HalfCheetah-v4", -280.178953, 12135.0),
    "walker2d": _Family("Walker2d-v4", 1.629008, 4592.3),
    # D4RL's ant states end in 84 contact forces that are always zero; the Trajectory Transformer drops them too.
    "ant": _Family("Ant-v4", -325.6, 3879.7, observation_size=27),
}


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset.

    Attributes:
        id: what the user types.
        source: ``d4rl`` is fetched, ``sim`` is simulated here, ``file`` is a file of the user's.
        family: ``hopper``, ``halfcheetah``, ``walker2d`` or ``ant``; None for a file.
        quality: one of ``QUALITIES``; None for a file.
        env_id: gymnasium id of the environment to evaluate in; None where a file does not say.
        url: where to fetch it, for D4RL.
        path: where it is, for a file.
        reference_min: mean return of a random policy, which scores 0; None where a file does not say.
        reference_max: mean return of an expert, which scores 1; None where a file does not say.
        observation_size: keep the first so many observation dimensions; None keeps all.
        max_episode_steps: longest possible episode; None where a file does not say.
    """

    id: str
    source: Source
    family: str | None
    quality: str | None
    env_id: str | None
    url: str | None
    path: Path | None
    reference_min: float | None
    reference_max: float | None
    observation_size: int | None
    max_episode_steps: int | None

    @property
    def run_folder(self) -> str:
        """Folder of this dataset, relative to the runs folder: its id, or ``local/<stem>`` for a file."""
        return self.id if self.path is None else f"local/{self.path.stem}"

    @property
    def stand_in(self) -> str | None:
        """Id of the simulated dataset of the same family and quality, for a set that is fetched."""
        return f"sim/{self.family}-{self.quality}" if self.source == "d4rl" else None


def list_datasets() -> list[DatasetSpec]:
    """Every dataset that has a name: the simulated ones, then D4RL's."""
    pairs = [(family, quality) for family in _FAMILIES for quality in QUALITIES]
    return [_named("sim", *pair) for pair in pairs] + [_named("d4rl", *pair) for pair in pairs]


def resolve(dataset_id: str) -> DatasetSpec:
    """The dataset that a user means by a name or a path.

    What ends as a dataset file does, and any file or folder that exists, is a path; its environment and scores are
    those that it states, and are not guessed.

    Raises:
        UsageError: there is no such dataset; the nearest name is offered.
        SeqrlError: the path leads to no file, to one of no known format, or to one that states impossible facts.
    """
    named = {spec.id: spec for spec in list_datasets()}
    if dataset_id in named:
        return named[dataset_id]
    path = Path(dataset_id).expanduser()
    if path.suffix.lower() in FILE_SUFFIXES or path.exists():
        return _from_file(dataset_id, path)
    raise unknown("dataset", dataset_id, named, "seqrl download --list")


def _named(source: Source, family: str, quality: str) -> DatasetSpec:
    about = _FAMILIES[family]
    name = f"{family}-{quality}"
    return DatasetSpec(
        id=f"sim/{name}" if source == "sim" else f"{name}-v2",
        source=source,
        family=family,
        quality=quality,
        env_id=about.env_id,
        url=None if source == "sim" else f"{_D4RL_URL}/{family}_{quality.replace('-', '_')}-v2.hdf5",
        path=None,
        reference_min=about.reference_min,
        reference_max=about.reference_max,
        observation_size=about.observation_size,
        max_episode_steps=EPISODE_STEPS,
    )


def _from_file(dataset_id: str, path: Path) -> DatasetSpec:
    # Shell completion lists names through this module and must not wait for h5py.
    from seqrl_cli.data.formats import read_attributes

    stated = read_attributes(path)

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
        family=None,
        quality=None,
        env_id=text("env_id"),
        url=None,
        path=path,
        reference_min=lowest,
        reference_max=highest,
        observation_size=None,
        max_episode_steps=None if steps is None else int(steps),
    )
