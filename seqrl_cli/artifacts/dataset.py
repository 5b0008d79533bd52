"""From a dataset's name to ``dataset.h5``: simulate, fetch, or take in a file; once, and the same for everyone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from seqrl_cli.config.overrides import merge, nest
from seqrl_cli.config.presets import load_config, resolve_config, validate
from seqrl_cli.config.schema import Config, DataConfig
from seqrl_cli.console import Console, counted
from seqrl_cli.data.catalogue import DatasetSpec, resolve
from seqrl_cli.data.d4rl import read_attributes, read_d4rl, write_d4rl
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats import content_sha256
from seqrl_cli.data.listing import named_datasets
from seqrl_cli.envs.scores import normalized_score
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.layout import RESERVED, DatasetFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.fetching import Supply
from seqrl_cli.workflows.sources import (
    Obtained,
    discard_download,
    fit_environment,
    obtain,
    path_text,
    refuse_other_environment,
    scores_of_environment,
)


@dataclass(frozen=True)
class Located:
    """A dataset that a user named: what it is and where it belongs, there already or not.

    Attributes:
        id: its name from now on; a file becomes ``local/<stem>``.
        spec: source, environment, reference scores.
        folder: its folder in the run directory.
        supply: where its files come from.
    """

    id: str
    spec: DatasetSpec
    folder: DatasetFolder
    supply: Supply


@dataclass(frozen=True)
class DatasetReport:
    """What ``download`` and ``collect`` say; ``score`` is normalised, in percent."""

    dataset: str
    path: str
    fresh: bool
    episodes: int
    transitions: int
    mean_return: float
    score: float | None

    def text(self) -> str:
        """Two lines for a person."""
        score = f", score {self.score:.1f}" if self.score is not None else ""
        size = f"{counted(self.transitions, 'transition')} in {counted(self.episodes, 'episode')}"
        return f"{self.dataset}: {size}, mean return {self.mean_return:,.1f}{score}\n{self.path}"

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def locate(store: RunStore, dataset: str) -> Located:
    """Find a dataset by catalogue name, by the name of one that is in the run directory, or by path.

    Raises:
        UsageError: there is no such dataset; the nearest name is offered.
        SeqrlError: the path leads to no dataset.
    """
    supply = Supply(store.root, store.network)
    known = named_datasets()
    dataset = dataset if dataset in known else _held_name(store, dataset)
    held = store.dataset(dataset)
    if dataset not in known and held.dataset.exists():
        spec = resolve(str(held.dataset))
        return Located(dataset, replace(spec, id=dataset, path=None), held, supply)
    spec = resolve(dataset)
    name = spec.run_folder if spec.path is None else _local_name(store, spec.path)
    return Located(name, spec, store.dataset(name), supply)


def _held_name(store: RunStore, dataset: str) -> str:
    """The name of a dataset that is given by its folder's path in the run directory; others stay as they are."""
    folder = Path(dataset).resolve()
    if store.dataset(folder).dataset.is_file() and folder.is_relative_to(store.root.resolve()):
        return folder.relative_to(store.root.resolve()).as_posix()
    return dataset.rstrip("/")


def _local_name(store: RunStore, path: Path) -> str:
    """``local/<stem>`` for a file or folder of the user's; with a mark where another of that stem is there already."""
    named = path.resolve()
    if named.name == "data" and named.is_dir():
        named = named.parent  # a Minari dataset's own folder says more
    stem = named.name if named.is_dir() else named.stem
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    name = f"local/{'dataset' if plain in ('', *RESERVED) else plain}"
    there = store.dataset(name).dataset
    if not there.exists() or read_attributes(there).get("path") in (None, path_text(path)):
        return name
    return f"{name}-{hashlib.sha256(path_text(path).encode()).hexdigest()[:8]}"


def dataset_config(
    store: RunStore,
    dataset: str | None,
    *,
    size: str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    config_file: Path | None = None,
) -> tuple[Located, Config]:
    """Find the dataset and resolve the configuration for it.

    Args:
        store: the run directory, and what may be fetched into it.
        dataset: what the user named; may be left out with ``config_file``.
        size: ``paper`` or ``laptop``; None = by the dataset's name.
        preset: None = by the dataset's name.
        overrides: dotted keys, strongest of all.
        config_file: a run's config.yaml to start from, in place of size and preset.

    Raises:
        UsageError: unknown dataset, size, preset or key, a bad value, or no dataset at all.
    """
    base = load_config(config_file) if config_file else None
    if base and (size or preset):
        raise UsageError("--config already settles size and preset", "leave --size and --preset out")
    dataset = dataset or (base.dataset if base else None)
    if dataset is None:
        raise UsageError("no dataset given", "for example sim/hopper-medium; `seqrl download --list` shows all")
    located = locate(store, dataset)
    if base:
        return located, validate(merge(base.model_dump(), {"dataset": located.id}, nest(overrides or {})))
    return located, resolve_config(located.id, size=size, preset=preset, overrides=overrides)


def acquire(located: Located, data: DataConfig, console: Console, *, force: bool = False) -> DatasetReport:
    """Make sure ``dataset.h5`` is there, and sum it up; arguments as for :func:`ensure_dataset`."""
    fresh = ensure_dataset(located, data, console, force=force)
    if not fresh:
        console.note(f"{located.id} is already there; --force makes it again")
    return describe(located, fresh=fresh)


def ensure_dataset(located: Located, data: DataConfig, console: Console, *, force: bool = False) -> bool:
    """Make ``dataset.h5`` if it is missing; waits for another process that is making it.

    Args:
        located: which dataset.
        data: size and seed of a simulated one, environment of a file.
        console: hears what happens.
        force: make it again.

    Returns:
        Whether it was made now.

    Raises:
        SeqrlError: it cannot be had, or what is there was made with other settings.
    """
    path = located.folder.dataset
    if force or not path.exists():
        with locked(located.folder.path, on_wait=console.note):
            if force or not path.exists():
                episodes, attributes = obtain(located.spec, located.folder, data, console, located.supply)
                write_d4rl(path, episodes, {**attributes, "dataset_id": located.id})
                discard_download(located.folder)
                return True
    new = check_dataset(located, data)
    if new:
        episodes, facts = new
        write_d4rl(path, episodes, {**read_attributes(path), **facts})
        console.note(f"{located.id} is from now on data of {data.env_id}")
    return False


def check_dataset(located: Located, data: DataConfig) -> Obtained | None:
    """Stop when the dataset that is there is not the one asked for.

    Returns:
        Where a file's environment is to be named anew, the episodes and the attributes that say so; else None.

    Raises:
        UsageError: another environment was named for a dataset of the catalogue, which knows better.
        SeqrlError: it was made with other settings, or the environment does not fit it.
    """
    _check_settings(located, data)
    if data.env_id is None or data.env_id == environment_or_none(located):
        return None
    if located.spec.source != "file":
        refuse_other_environment(located.spec, data.env_id)
    path = located.folder.dataset
    return fit_environment(read_d4rl(path), data.env_id, str(path))


def describe(located: Located, *, fresh: bool = False) -> DatasetReport:
    """Read a dataset that is there and sum it up."""
    episodes = load_episodes(located)
    mean_return = float(episodes.returns.mean())
    return DatasetReport(
        dataset=located.id,
        path=str(located.folder.dataset),
        fresh=fresh,
        episodes=len(episodes),
        transitions=episodes.transitions,
        mean_return=mean_return,
        score=percent_score(mean_return, reference_scores(located)),
    )


def load_episodes(located: Located, *, whole: bool = False) -> Episodes:
    """The episodes of a dataset that is there, observations cut as its environment needs, or whole.

    Raises:
        SeqrlError: the file is damaged or not in D4RL's layout.
    """
    spec = located.spec
    limit = spec.max_episode_steps if spec.source == "d4rl" else None
    return read_d4rl(located.folder.dataset, None if whole else spec.observation_size, limit)


def observation_slice(located: Located) -> int | None:
    """How many observation dimensions were kept of longer ones, by the catalogue or when a file was taken in."""
    if located.spec.observation_size is not None or not located.folder.dataset.exists():
        return located.spec.observation_size
    stated = read_attributes(located.folder.dataset).get("observation_slice")
    return stated if isinstance(stated, int) else None


def environment_of(located: Located) -> str:
    """The gymnasium id to evaluate a dataset's models in.

    Raises:
        SeqrlError: neither the catalogue nor the file says.
    """
    env_id = environment_or_none(located)
    if env_id is None:
        hint = f"say which one: seqrl download {located.id} data.env_id=Hopper-v4"
        raise SeqrlError(f"{located.id} does not say which environment it is from", hint)
    return env_id


def environment_or_none(located: Located) -> str | None:
    """The gymnasium id that the dataset states about itself, else the catalogue's, else None."""
    if located.folder.dataset.exists():
        stated = read_attributes(located.folder.dataset).get("env_id")
        if isinstance(stated, str):
            return stated
    return located.spec.env_id


def reference_scores(located: Located) -> tuple[float, float] | None:
    """Returns that score 0 and 1: the dataset's own, else those of its environment; None when neither is known."""
    spec = located.spec
    if spec.reference_min is not None and spec.reference_max is not None:
        return spec.reference_min, spec.reference_max
    if not located.folder.dataset.exists():
        return None
    stated = read_attributes(located.folder.dataset)
    if "reference_min" in stated and "reference_max" in stated:
        return float(stated["reference_min"]), float(stated["reference_max"])
    return scores_of_environment(stated.get("env_id"))


def percent_score(return_: float, references: tuple[float, float] | None) -> float | None:
    """A normalised score in percent, or None without reference scores."""
    return None if references is None else 100 * normalized_score(return_, *references)


def _check_settings(located: Located, data: DataConfig) -> None:
    """Stop when what is there is not what was asked for."""
    stated = read_attributes(located.folder.dataset)
    if located.spec.path is not None and stated.get("sha256") != content_sha256(located.spec.path):
        hint = "rename the file to keep both, or replace the old one: seqrl download FILE --force"
        raise SeqrlError(f"{located.folder.dataset} was made from another {located.spec.path.name}", hint)
    if located.spec.source != "sim":
        return
    asked = {"transitions": data.transitions, "seed": data.seed}
    for key, value in asked.items():
        if value is not None and key in stated and stated[key] != value:
            hint = f"leave data.{key} out, or make it anew: seqrl download {located.id} data.{key}={value} --force"
            raise SeqrlError(f"{located.id} is there with {key} {stated[key]}, not {value}", hint)
