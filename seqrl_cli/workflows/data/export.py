"""Datasets to other tools' formats."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from seqrl_cli import __version__
from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.facts import carried_attributes
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.data.formats.minari import ID_PATTERN, METADATA, MinariFacts, write_minari
from seqrl_cli.envs.make import make_env
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.store import RunStore

FORMATS = ("d4rl", "minari")


@dataclass(frozen=True)
class DatasetExportRequest:
    """What ``seqrl export DATASET`` was asked for.

    Attributes:
        dataset: a name or a path; it is made or fetched if it is not here.
        style: one of ``FORMATS``.
        output: for ``d4rl`` a file or a folder to put it in, for ``minari`` the folder that holds Minari's datasets;
            None = beside the dataset.
    """

    dataset: str | None
    style: str
    output: Path | None = None


@dataclass(frozen=True)
class DatasetExportReport:
    """What ``export`` says."""

    dataset: str
    format: str
    path: str
    fresh: bool
    minari_id: str | None

    def text(self) -> str:
        """Where it is, and how Minari loads it."""
        if self.minari_id is None:
            return self.path
        root = Path(self.path).resolve().as_posix().removesuffix(f"/{self.minari_id}")
        return f"{self.path}\nMINARI_DATASETS_PATH={root} lets minari.load_dataset({self.minari_id!r}) find it"

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def export_dataset(
    store: RunStore, request: DatasetExportRequest, console: Console, *, force: bool = False, dry_run: bool = False
) -> DatasetExportReport:
    """Write a dataset so that D4RL's or Minari's own loader opens it; what was written before is skipped.

    Raises:
        UsageError: no dataset was named, or there is none of that name.
        SeqrlError: it cannot be had, or not be written.
    """
    if request.dataset is None:
        raise UsageError("no dataset given", f"for example: seqrl export sim/hopper-medium --format {request.style}")
    located = locate(store, request.dataset)
    minari_id = _minari_id(located.id) if request.style == "minari" else None
    target = _target(located, request, minari_id)
    there = target / "data" / METADATA if minari_id else target
    done = DatasetExportReport(located.id, request.style, str(target), False, minari_id)
    if dry_run:
        return done
    located.ensure(DataConfig(), console)
    if not force and there.exists():
        if there.stat().st_mtime_ns < located.folder.dataset.stat().st_mtime_ns:
            raise SeqrlError(f"{target} is older than {located.id}", "replace it with --force, or choose another -o")
        console.note(f"{target} is already there; --force writes it again")
        return done
    if minari_id:
        episodes = located.load_episodes()
        write_minari(target, episodes, _minari_facts(located, minari_id, episodes, console))
    else:
        write_d4rl(target, located.load_episodes(whole=True), carried_attributes(located.file.read()))
    return DatasetExportReport(located.id, request.style, str(target), True, minari_id)


def _target(located: DatasetRef, request: DatasetExportRequest, minari_id: str | None) -> Path:
    if minari_id:
        return (request.output or located.folder.path / "minari") / minari_id
    name = f"{located.id.replace('/', '-')}.hdf5"
    output = request.output or located.folder.path / "d4rl"
    return output / name if request.output is None or output.is_dir() else output


def _minari_id(dataset: str) -> str:
    """A dataset's name as Minari's rules have it, with a version at its end."""
    name = re.sub(r"[^\w/-]+", "-", dataset, flags=re.ASCII).strip("/-")
    return name if re.fullmatch(ID_PATTERN, name) else f"{name}-v0"


def _minari_facts(located: DatasetRef, minari_id: str, episodes: Episodes, console: Console) -> MinariFacts:
    stated = located.file.read().attributes
    references = located.reference_scores or (None, None)
    others = {
        "ref_min_score": references[0],
        "ref_max_score": references[1],
        "algorithm_name": stated.get("policy"),
        "description": f"{located.id}, written by seqrl {__version__}.",
    }
    env_id = located.env_id
    try:
        low, high, env_spec = _environment(env_id) if env_id else _unknown(episodes)
    except SeqrlError as error:
        console.warn(f"{error.message}; {minari_id} does not state its environment")
        low, high, env_spec = _unknown(episodes)
    return MinariFacts(minari_id, env_spec, low, high, others)


def _environment(env_id: str) -> tuple[np.ndarray, np.ndarray, str]:
    env = make_env(env_id)
    space = env.action_space
    env.close()
    assert isinstance(space, gymnasium.spaces.Box)
    return space.low.astype(np.float32), space.high.astype(np.float32), gymnasium.spec(env_id).to_json()


def _unknown(episodes: Episodes) -> tuple[np.ndarray, np.ndarray, None]:
    """Bounds that hold all actions that occur, and the usual -1 and 1."""
    low, high = episodes.actions.min(axis=0), episodes.actions.max(axis=0)
    return np.minimum(low, -1).astype(np.float32), np.maximum(high, 1).astype(np.float32), None
