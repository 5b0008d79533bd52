"""From a dataset's name to ``dataset.h5``: simulate, fetch, or take in a file; once, and the same for everyone."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from seqrl_cli.behaviour.qualities import collect_quality
from seqrl_cli.config.presets import resolve_config
from seqrl_cli.config.schema import Config, DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import DatasetSpec, list_datasets, resolve
from seqrl_cli.data.d4rl import read_attributes, read_d4rl, write_d4rl
from seqrl_cli.data.download import fetch, file_sha256
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.scores import normalized_score
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.layout import DatasetFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.store import RunStore


@dataclass(frozen=True)
class Located:
    """A dataset that a user named: what it is and where it belongs, there already or not.

    Attributes:
        id: its name from now on; a file becomes ``local/<stem>``.
        spec: source, environment, reference scores.
        folder: its folder in the run directory.
    """

    id: str
    spec: DatasetSpec
    folder: DatasetFolder


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
        size = f"{self.transitions:,} transitions in {self.episodes:,} episodes"
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
    held = store.dataset(dataset)
    known = {spec.id for spec in list_datasets()}
    if dataset not in known and held.dataset.exists():
        spec = resolve(str(held.dataset))
        return Located(dataset, replace(spec, id=dataset, path=None), held)
    spec = resolve(dataset)
    name = spec.run_folder
    return Located(name, spec, store.dataset(name))


def dataset_config(
    store: RunStore,
    dataset: str,
    *,
    size: str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Located, Config]:
    """Find the dataset and resolve the configuration for it.

    Raises:
        UsageError: unknown dataset, size, preset or key, or a bad value.
    """
    located = locate(store, dataset)
    return located, resolve_config(located.id, size=size, preset=preset, overrides=overrides)


def acquire(
    located: Located, data: DataConfig, console: Console, *, force: bool = False, announce: bool = True
) -> DatasetReport:
    """Make sure ``dataset.h5`` is there.

    Args:
        located: which dataset.
        data: size and seed of a simulated one, environment of a file.
        console: hears what happens.
        force: make it again.
        announce: say so when it is there already.

    Raises:
        SeqrlError: it cannot be had, or what is there was made with other settings.
    """
    path = located.folder.dataset
    if path.exists() and not force:
        _check_settings(located, data)
        if announce:
            console.note(f"{located.id} is already there; --force makes it again")
        return describe(located)
    with locked(located.folder.path):
        episodes, attributes = _obtain(located, data, console)
        write_d4rl(path, episodes, {**attributes, **_common_attributes(located, data)})
    return describe(located, fresh=True)


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


def load_episodes(located: Located) -> Episodes:
    """The episodes of a dataset that is there, observations cut as its environment needs.

    Raises:
        SeqrlError: the file is damaged or not in D4RL's layout.
    """
    spec = located.spec
    limit = spec.max_episode_steps if spec.source == "d4rl" else None
    return read_d4rl(located.folder.dataset, spec.observation_size, limit)


def environment_of(located: Located) -> str:
    """The gymnasium id to evaluate a dataset's models in.

    Raises:
        SeqrlError: neither the catalogue nor the file says.
    """
    env_id = environment_or_none(located)
    if env_id is None:
        hint = f"say which one: seqrl download {located.spec.path or located.id} data.env_id=Hopper-v4 --force"
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


def scores_of_environment(env_id: object) -> tuple[float, float] | None:
    """D4RL's reference returns of an environment; None for one that D4RL does not have."""
    for spec in list_datasets():
        if spec.env_id == env_id and spec.reference_min is not None and spec.reference_max is not None:
            return spec.reference_min, spec.reference_max
    return None


def percent_score(return_: float, references: tuple[float, float] | None) -> float | None:
    """A normalised score in percent, or None without reference scores."""
    return None if references is None else 100 * normalized_score(return_, *references)


def _obtain(located: Located, data: DataConfig, console: Console) -> tuple[Episodes, dict[str, Any]]:
    spec = located.spec
    if spec.source == "sim":
        return _simulate(located, data, console)
    if spec.source == "d4rl":
        return _download(located, console)
    if spec.path is None:
        raise SeqrlError(f"{located.id} was collected here and cannot be made again from its name", "seqrl collect")
    return _take_in(spec)


def _simulate(located: Located, data: DataConfig, console: Console) -> tuple[Episodes, dict[str, Any]]:
    family, quality = located.spec.family, located.spec.quality
    assert family is not None and quality is not None
    console.note(f"simulating {located.id} in MuJoCo")
    with console.progress(f"simulating {located.id}", "steps") as update:
        collected = collect_quality(family, quality, transitions=data.transitions, seed=data.seed, progress=update)
    return collected.episodes, collected.attributes


def _download(located: Located, console: Console) -> tuple[Episodes, dict[str, Any]]:
    url = located.spec.url
    assert url is not None
    raw = located.folder.path / ".download.hdf5"
    console.note(f"fetching {located.id} from {url}")
    with console.progress(f"fetching {located.id}", "bytes") as update:
        hint = f"without a network, {located.spec.stand_in} is simulated here: the same robot, but not the same data"
        digest = fetch(url, raw, hint=hint, progress=update)
    episodes = read_d4rl(raw, None, located.spec.max_episode_steps)
    raw.unlink()
    return episodes, {"url": url, "sha256": digest}


def _take_in(spec: DatasetSpec) -> tuple[Episodes, dict[str, Any]]:
    path = spec.path
    assert path is not None
    digest = file_sha256(path)
    stated = read_attributes(path)
    episodes = read_d4rl(path, None, spec.max_episode_steps)
    return episodes, {**stated, "path": str(path.resolve()), "sha256": digest}


def _common_attributes(located: Located, data: DataConfig) -> dict[str, Any]:
    spec = located.spec
    references = (spec.reference_min, spec.reference_max)
    if references == (None, None):
        references = scores_of_environment(data.env_id or spec.env_id) or references
    return {
        "dataset_id": located.id,
        "source": spec.source,
        "env_id": data.env_id or spec.env_id,
        "reference_min": references[0],
        "reference_max": references[1],
    }


def _check_settings(located: Located, data: DataConfig) -> None:
    """Stop when what is there is not what was asked for."""
    stated = read_attributes(located.folder.dataset)
    hint = f"seqrl download {located.spec.path or located.id} … --force makes it again"
    if located.spec.path is not None and stated.get("sha256") != file_sha256(located.spec.path):
        raise SeqrlError(f"{located.folder.dataset} was made from another {located.spec.path.name}", hint)
    if located.spec.source != "sim":
        return
    asked = {"transitions": data.transitions, "seed": data.seed}
    for key, value in asked.items():
        if value is not None and key in stated and stated[key] != value:
            raise SeqrlError(f"{located.id} is there with {key} {stated[key]}, not {value}", hint)


def show_acquisition(located: Located, config: Config, console: Console) -> None:
    """What ``download`` would do, for --dry-run."""
    spec = located.spec
    facts = {
        "dataset": located.id,
        "source": spec.source,
        "from": spec.url or (str(spec.path) if spec.path else "MuJoCo, on this machine"),
        "to": str(located.folder.dataset),
        "there already": located.folder.dataset.exists(),
        "environment": config.data.env_id or spec.env_id,
    }
    console.emit(facts)
    console.show_facts(facts)


def show_catalogue(store: RunStore, console: Console, pattern: str | None) -> None:
    """List every known dataset, or those that fit a pattern (``*`` and ``?``, else a part of the name).

    Raises:
        UsageError: nothing fits.
    """
    wanted = pattern if pattern and any(sign in pattern for sign in "*?[") else f"*{pattern or ''}*"
    rows = []
    for spec in list_datasets():
        if fnmatch.fnmatch(spec.id, wanted):
            here = store.dataset(spec.run_folder).dataset.exists()
            rows.append({"dataset": spec.id, "source": spec.source, "environment": spec.env_id, "here": here})
    if not rows:
        raise UsageError(f"no dataset fits {pattern!r}", "`seqrl download --list` shows all")
    console.emit({"datasets": rows})
    cells = [[row["dataset"], row["source"], row["environment"], "yes" if row["here"] else ""] for row in rows]
    console.show_rows(["dataset", "source", "environment", "here"], cells)
