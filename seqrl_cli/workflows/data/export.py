"""``seqrl export DATASET``: a dataset in D4RL's or Minari's format."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

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
from seqrl_cli.data.formats.minari import ID_PATTERN, MinariFacts, write_minari
from seqrl_cli.data.formats.minari_metadata import METADATA
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.data.space import BoxSpace, Space
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.envs.guard import naming_failures
from seqrl_cli.envs.missing import import_module_of
from seqrl_cli.envs.probe import layout_of
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.store import RunStore

FORMATS = ("d4rl", "minari")


@dataclass(frozen=True)
class DatasetExportRequest:
    """Options of ``seqrl export DATASET``.

    Attributes:
        store: the run directory.
        dataset: a name or a path; it is made or fetched if it is missing.
        format: one of ``FORMATS``.
        output: the file or the folder to put it in, for ``d4rl``; the folder of Minari's datasets, for ``minari``;
            None = beside the dataset.
        force: replace an existing export.
    """

    store: RunStore
    dataset: str | None
    format: str
    output: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class DatasetExportReport:
    """Result of ``export``."""

    dataset: str
    format: str
    path: str
    fresh: bool
    minari_id: str | None

    def text(self) -> str:
        """The path, and how Minari loads it."""
        if self.minari_id is None:
            return self.path
        root = Path(self.path).resolve().as_posix().removesuffix(f"/{self.minari_id}")
        return f"{self.path}\nMINARI_DATASETS_PATH={root} lets minari.load_dataset({self.minari_id!r}) find it"


def run(request: DatasetExportRequest, console: Console) -> DatasetExportReport:
    """Write a dataset for D4RL's or Minari's own loader; an existing export is kept.

    Raises:
        UsageError: no dataset was named, or no dataset has that name.
        SeqrlError: the dataset cannot be made or fetched, or the export cannot be written.
    """
    dataset, planned = _resolve(request)
    dataset.ensure(DataConfig(), console)
    target = Path(planned.path)
    minari_id = planned.minari_id
    written = target / "data" / METADATA if minari_id else target
    episodes = dataset.load_episodes(whole=not minari_id)
    if not request.force and written.exists():
        if not _contains(target, episodes):
            message = f"{target} does not contain the present data of {dataset.id}"
            raise SeqrlError(message, "replace it with --force, or choose another -o")
        console.note(f"{target} already exists; --force writes it again")
        return planned
    if minari_id:
        write_minari(target, episodes, _minari_facts(dataset, minari_id, episodes, console))
    else:
        write_d4rl(target, episodes, carried_attributes(dataset.stated))
    return replace(planned, fresh=True)


def _contains(target: Path, episodes: Episodes) -> bool:
    """Whether an export contains these episodes; dates do not count, which copying and wrong clocks change."""
    try:
        there = read_dataset(target)
    except SeqrlError:
        return False
    names = ("observations", "actions", "rewards", "terminals", "offsets")
    return all(np.array_equal(getattr(there, name), getattr(episodes, name)) for name in names)


def dry_run(request: DatasetExportRequest, console: Console) -> None:
    """Print where ``export`` would write.

    Raises:
        UsageError: no dataset was named, or no dataset has that name.
    """
    _, planned = _resolve(request)
    console.show(planned.text())
    console.emit(asdict(planned))


def _resolve(request: DatasetExportRequest) -> tuple[DatasetRef, DatasetExportReport]:
    """The dataset, and the report of an export that wrote nothing.

    Raises:
        UsageError: no dataset was named, or no dataset has that name.
    """
    if request.dataset is None:
        raise UsageError("no dataset given", f"for example: seqrl export sim/hopper-medium --format {request.format}")
    dataset = locate(request.store, request.dataset)
    minari_id = _minari_id(dataset.id) if request.format == "minari" else None
    target = _target(dataset, request, minari_id)
    return dataset, DatasetExportReport(dataset.id, request.format, str(target), False, minari_id)


def _target(dataset: DatasetRef, request: DatasetExportRequest, minari_id: str | None) -> Path:
    if minari_id:
        return (request.output or dataset.folder.path / "minari") / minari_id
    name = f"{dataset.id.replace('/', '-')}.hdf5"
    output = request.output or dataset.folder.path / "d4rl"
    return output / name if request.output is None or output.is_dir() else output


def _minari_id(dataset: str) -> str:
    """The dataset's name in the form that Minari requires, ending in a version."""
    name = re.sub(r"[^\w/-]+", "-", dataset, flags=re.ASCII).strip("/-")
    return name if re.fullmatch(ID_PATTERN, name) else f"{name}-v0"


def _minari_facts(dataset: DatasetRef, minari_id: str, episodes: Episodes, console: Console) -> MinariFacts:
    stated = dataset.stated
    references = dataset.reference_scores or (None, None)
    metadata = {
        "ref_min_score": references[0],
        "ref_max_score": references[1],
        "algorithm_name": stated.get("policy"),
        "description": f"{dataset.id}, written by seqrl {__version__}.",
    }
    env_id = dataset.env_id
    env_spec = None
    action: Space | None = None
    if env_id:
        try:
            action, env_spec = _environment(env_id)
        except SeqrlError as error:
            console.warn(f"{error.message}; {minari_id} is written without its environment")
    return MinariFacts(minari_id, env_spec, _declared(episodes, action), metadata)


def _environment(env_id: str) -> tuple[Space, str]:
    """An environment's actions, and gymnasium's description of it."""
    action = layout_of(env_id).spaces.action
    name = import_module_of(env_id)
    with naming_failures(env_id, "when it was described"):
        return action, gymnasium.spec(name).to_json()


def _declared(episodes: Episodes, action: Space | None) -> Spaces:
    """The spaces to write: vectors without bounds, and the environment's actions, or those that the data show.

    The bounds of continuous actions contain all actions in the data then, and at least [-1, 1].
    """
    observation = episodes.spaces.observation
    if observation.is_vector:
        observation = BoxSpace(observation.shape)
    if action is None and isinstance(episodes.spaces.action, BoxSpace):
        low, high = episodes.actions.min(axis=0), episodes.actions.max(axis=0)
        action = BoxSpace.bounded(low.shape, "float32", np.minimum(low, -1), np.maximum(high, 1))
    return Spaces(observation, action or episodes.spaces.action)
