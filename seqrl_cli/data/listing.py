"""The datasets that have a name: facts of ``presets/datasets/*.yaml``, one file a source, as ``DatasetSpec``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from seqrl_cli.config.resources import presets_folder
from seqrl_cli.data.download.mirrors import RemoteFile

Source = Literal["d4rl", "minari", "sim", "file"]

SOURCES = ("d4rl", "minari", "pretrained")
QUALITIES = ("random", "medium", "medium-replay", "medium-expert", "expert")


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset.

    Attributes:
        id: what the user types.
        source: ``d4rl`` and ``minari`` are fetched, ``sim`` is simulated here, ``file`` is a file of the user's.
        family: ``hopper``, ``halfcheetah``, ``walker2d`` or ``ant``; None for other bodies and for a file.
        quality: one of ``QUALITIES``, where there is a family; None otherwise.
        env_id: gymnasium id of the environment to evaluate in; None where a file does not say.
        files: what to fetch.
        path: where it is, for a file.
        reference_min: mean return of a random policy, which scores 0; None where nobody says.
        reference_max: mean return of an expert, which scores 1; None where nobody says.
        observation_size: keep the first so many observation dimensions; None keeps all.
        max_episode_steps: longest possible episode; None where that is not known.
        episode_steps: length of an episode in a file that marks no timeouts; None = the reader's usual one.
        licence: of the data; None where it is not stated.
        extra: the extra that brings the environment; None where no extra is needed.
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

    @property
    def url(self) -> str | None:
        """Where the data is published; None for what is not fetched."""
        return self.files[0].url if self.files else None

    @property
    def size(self) -> int | None:
        """Bytes to fetch; None where they are not known."""
        sizes = [file.size for file in self.files]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None

    @property
    def run_folder(self) -> str:
        """Folder of this dataset, relative to the runs folder: its id, or ``local/<stem>`` for a file."""
        return self.id if self.path is None else f"local/{self.path.stem}"

    @property
    def stand_in(self) -> str | None:
        """Id of the simulated dataset that is most like one that is fetched: same body, nearest quality."""
        if self.source == "sim" or self.family is None:
            return None
        nearest = {"full-replay": "medium-replay", "random-expert": "medium-expert", "simple": "medium"}
        quality = nearest.get(self.quality or "", self.quality)
        return f"sim/{self.family}-{quality}" if quality in QUALITIES else None


@cache
def named_datasets() -> dict[str, DatasetSpec]:
    """Every dataset that has a name, by id: the simulated ones, D4RL's, Minari's."""
    folder = presets_folder() / "datasets"
    specs = (*_simulated(read_facts(folder / "simulated.yaml")), *_d4rl(read_facts(folder / "d4rl.yaml")))
    return {spec.id: spec for spec in (*specs, *_minari(read_facts(folder / "minari.yaml")))}


def read_facts(path: Path) -> dict[str, Any]:
    """A file of facts that ships with the program; by libyaml where it is there, because shell completion waits."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    facts: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506
    return facts


def _simulated(facts: dict[str, Any]) -> Iterator[DatasetSpec]:
    for group in facts["groups"]:
        for quality in QUALITIES:
            yield DatasetSpec(f"sim/{group['family']}-{quality}", "sim", quality=quality, **_shared(group))


def _d4rl(facts: dict[str, Any]) -> Iterator[DatasetSpec]:
    for group in facts["groups"]:
        for name, stated in group["files"].items():
            path, size, sha256 = [*([stated] if isinstance(stated, str) else stated), None, None][:3]
            mirrored = tuple(f"{root}/{path}" for root in facts["mirrors"])
            file = RemoteFile(f"{facts['base']}/{path}", path, size, sha256, mirrored)
            quality = name.removeprefix("bullet-").partition("-")[2].rpartition("-v")[0] if "family" in group else None
            yield DatasetSpec(name, "d4rl", quality=quality, files=(file,), licence=facts["licence"], **_shared(group))


def _minari(facts: dict[str, Any]) -> Iterator[DatasetSpec]:
    for group in facts["groups"]:
        for name in group["names"]:
            namespace, _, rest = name.partition("/")
            files = tuple(
                RemoteFile(f"{facts['base']}/{namespace}/resolve/main/{rest}/data/{part}", f"{name}/data/{part}")
                for part in ("main_data.hdf5", "metadata.json")
            )
            yield DatasetSpec(f"minari/{name}", "minari", files=files, **_shared(group))


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
