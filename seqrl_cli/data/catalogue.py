"""The catalogue of named datasets, and how a name or path that a user gives is resolved.

Facts are in ``presets/datasets/*.yaml``, one file per source. D4RL's ``-v2`` data was recorded in gym's v2
environments, which gymnasium no longer has: it is evaluated in the ``-v4`` ones. The simulated sets, ``sim/…``, are our
own data from those same environments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seqrl_cli.config.resources import presets_folder, read_package_mapping
from seqrl_cli.data.domains import domains, task_of
from seqrl_cli.data.suites import suites
from seqrl_cli.download.mirrors import RemoteFile
from seqrl_cli.errors import SeqrlError, UsageError, unknown
from seqrl_cli.files.regular import user_path

Source = Literal["d4rl", "minari", "l2m", "sim", "file", "mixture"]

SOURCES = ("d4rl", "minari", "l2m", "pretrained")
QUALITIES = ("random", "medium", "medium-replay", "medium-expert", "expert")
EPISODE_STEPS = 1000

_ATTRIBUTE_HINT = "correct the attribute in the file, or remove it"


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset.

    Attributes:
        id: id that the user types.
        source: ``d4rl``, ``minari`` and ``l2m`` are downloaded, ``sim`` is simulated here, ``file`` is the user's own
            file, ``mixture`` joins other datasets.
        family: ``hopper``, ``halfcheetah``, ``walker2d`` or ``ant``; None for other robots and for files.
        quality: one of ``QUALITIES`` if there is a family, else None.
        env_id: gymnasium id of the environment to evaluate in; None if a file does not state it.
        files: the files to download.
        path: the user's file; None for other sources.
        reference_min: mean return of a random policy, which scores 0; None if unknown.
        reference_max: mean return of an expert, which scores 1; None if unknown.
        observation_size: number of leading observation dimensions to keep; None keeps all.
        max_episode_steps: longest possible episode; None if unknown.
        episode_steps: length of an episode in a file without timeouts; None = the reader's default.
        licence: licence of the data; None if not stated.
        extra: the extra that installs the environment; None if no extra is needed.
        transitions: number of steps, where its publisher states it.
        about: advice for those who compare with it.
    """

    id: str
    source: Source
    family: str | None = None
    quality: str | None = None
    env_id: str | None = None
    files: tuple[RemoteFile, ...] = ()
    path: Path | None = None
    reference_min: float | None = None
    reference_max: float | None = None
    observation_size: int | None = None
    max_episode_steps: int | None = None
    episode_steps: int | None = None
    licence: str | None = None
    extra: str | None = None
    transitions: int | None = None
    about: str | None = None

    @property
    def url(self) -> str | None:
        """Where the data is published; None for data that is not downloaded."""
        return self.files[0].url if self.files else None

    @property
    def size(self) -> int | None:
        """Bytes to download; None if unknown."""
        sizes = [file.size for file in self.files]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None

    @property
    def stand_in(self) -> str | None:
        """Id of the simulated dataset most like a downloaded one: same robot, nearest quality; None if there's none."""
        if self.source == "l2m":
            task = task_of(self.env_id)
            return f"sim/{task.domain}/{task.name}" if task else None
        if self.source == "sim" or self.family is None:
            return None
        nearest = {"full-replay": "medium-replay", "random-expert": "medium-expert", "simple": "medium"}
        quality = nearest.get(self.quality or "", self.quality)
        return f"sim/{self.family}-{quality}" if quality in QUALITIES else None


@cache
def named_datasets() -> dict[str, DatasetSpec]:
    """Every dataset with a name, by id: the simulated ones, then D4RL's, Minari's and L2M's."""
    folder = presets_folder() / "datasets"
    simulated = (*_simulated(read_package_mapping(folder / "simulated.yaml")), *_simulated_tasks())
    downloaded = (
        *_d4rl(read_package_mapping(folder / "d4rl.yaml")),
        *_minari(read_package_mapping(folder / "minari.yaml")),
    )
    downloaded = (*downloaded, *_l2m(read_package_mapping(folder / "l2m.yaml")))
    return {spec.id: spec for spec in (*simulated, *downloaded)}


def list_datasets() -> list[DatasetSpec]:
    """Every dataset with a name, in the order of :func:`named_datasets`."""
    return list(named_datasets().values())


def scores_of_environment(env_id: object) -> tuple[float, float] | None:
    """The reference returns of an environment: its domain's or D4RL's; None if neither has any."""
    if task := task_of(env_id):
        return task.references
    for spec in list_datasets():
        if spec.env_id == env_id and spec.reference_min is not None and spec.reference_max is not None:
            return spec.reference_min, spec.reference_max
    return None


def resolve(dataset_id: str) -> DatasetSpec:
    """Find the dataset that a user means by a name or a path.

    Anything with the suffix of a dataset file, and any existing file or folder, is a path. Its environment and scores
    come from its attributes; they are not guessed.

    Raises:
        UsageError: there is no such dataset; the hint suggests the nearest name.
        SeqrlError: the path leads to no file, to an unknown format, or to a file with impossible attributes.
    """
    named = named_datasets()
    if dataset_id in named:
        return named[dataset_id]
    path = user_path(dataset_id)
    # Shell completion lists names through this module and must not wait for h5py.
    from seqrl_cli.data.formats.read import FILE_SUFFIXES, read_attributes

    if path.suffix.lower() in FILE_SUFFIXES or path.exists():
        return spec_of_file(dataset_id, path, read_attributes(path))
    if published := published_elsewhere().get(dataset_id):
        raise UsageError(*published)
    is_part = bool(dataset_id) and any(dataset_id in name for name in named)
    listing = f"seqrl download --list {dataset_id}" if is_part else "seqrl download --list"
    raise unknown("dataset", dataset_id, [*named, *suites()], listing)


@cache
def published_elsewhere() -> dict[str, tuple[str, str]]:
    """Data that is published in forms which are not fetched, by name: where it is, and what makes it readable."""
    found = {}
    for group in read_package_mapping(presets_folder() / "datasets" / "elsewhere.yaml")["groups"]:
        names = group.get("tasks") or [name.rpartition("/")[2] for name in suites()[group["suite"]].datasets]
        for task in names:
            known = domains()["atari"].tasks.get(task)
            environment = known.env_id if known else ""
            words = {"task": task, "game": environment.rpartition("/")[2], "environment": environment}
            name, form, how = (group[key].format(**words) for key in ("name", "form", "how"))
            where = f"{name} is published at {group['address']} as {form}"
            found[name] = (f"{where}, which seqrl does not fetch; no licence is stated", how)
    return found


def spec_of_file(dataset_id: str, path: Path, attributes: Mapping[str, str | int | float | bool]) -> DatasetSpec:
    """Describe a dataset file by its attributes.

    Raises:
        SeqrlError: an attribute has an impossible value.
    """

    def text(name: str) -> str | None:
        value = attributes.get(name)
        return value if isinstance(value, str) else None

    def number(name: str) -> float | None:
        value = attributes.get(name)
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


def _simulated(facts: dict[str, Any]) -> Iterator[DatasetSpec]:
    for group in facts["groups"]:
        for quality in QUALITIES:
            yield DatasetSpec(f"sim/{group['family']}-{quality}", "sim", quality=quality, **_shared(group))


def _simulated_tasks() -> Iterator[DatasetSpec]:
    for domain in domains().values():
        for task in domain.tasks.values():
            lowest, highest = task.references or (None, None)
            yield DatasetSpec(
                f"sim/{domain.name}/{task.name}",
                "sim",
                env_id=task.env_id,
                reference_min=lowest,
                reference_max=highest,
                max_episode_steps=task.episode_steps,
                extra=domain.extra,
            )


def _d4rl(facts: dict[str, Any]) -> Iterator[DatasetSpec]:
    for group in facts["groups"]:
        for name, entry in group["files"].items():
            path, size, sha256 = _path_size_hash(entry)
            mirrored = tuple(f"{root}/{path}" for root in facts["mirrors"])
            file = RemoteFile(f"{facts['base']}/{path}", path, size, sha256, mirrored)
            quality = name.removeprefix("bullet-").partition("-")[2].rpartition("-v")[0] if "family" in group else None
            yield DatasetSpec(name, "d4rl", quality=quality, files=(file,), licence=facts["licence"], **_shared(group))


def _path_size_hash(entry: str | list[Any]) -> tuple[Any, Any, Any]:
    """Path, size and hash of a file, given as a path or a list; a missing size or hash is None."""
    given = [entry] if isinstance(entry, str) else entry
    path, size, sha256 = [*given, None, None][:3]
    return path, size, sha256


def _minari(facts: dict[str, Any]) -> Iterator[DatasetSpec]:
    for group in facts["groups"]:
        for name in group["names"]:
            namespace, _, rest = name.partition("/")
            files = tuple(
                RemoteFile(f"{facts['base']}/{namespace}/resolve/main/{rest}/data/{part}", f"{name}/data/{part}")
                for part in ("main_data.hdf5", "metadata.json")
            )
            yield DatasetSpec(f"minari/{name}", "minari", files=files, **_shared(group))


def _l2m(facts: dict[str, Any]) -> Iterator[DatasetSpec]:
    for group in facts["groups"]:
        domain = domains()[group["domain"]]
        for name in group.get("tasks", domain.tasks):
            task = domain.tasks[name]
            words = {"task": name, "task_with_underscores": name.replace("-", "_")}
            path = group["path"].format(**words)
            lowest, highest = task.references or (None, None)
            yield DatasetSpec(
                group["name"].format(**words),
                "l2m",
                env_id=task.env_id,
                files=(RemoteFile(f"{group['base']}/{path}", path),),
                reference_min=lowest,
                reference_max=highest,
                episode_steps=task.episode_steps,
                licence=facts["licence"],
                extra=domain.extra,
                transitions=group["transitions"],
                about=group["about"],
            )


def _shared(group: dict[str, Any]) -> dict[str, Any]:
    """What all datasets of a group have in common."""
    lowest, highest = group.get("scores", (None, None))
    return {
        "family": group.get("family"),
        "env_id": group["environment"],
        "reference_min": lowest,
        "reference_max": highest,
        "observation_size": group.get("observations"),
        "max_episode_steps": group.get("max_episode_steps"),
        "episode_steps": group.get("episode_steps"),
        "extra": group.get("extra"),
    }
