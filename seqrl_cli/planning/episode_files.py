"""Planned episodes on the disk: the one module that names, writes and reads their files.

An episode of a plan folder is two files. ``episode-000.json`` says how it was played and how it ended;
``episode-000.h5`` contains the arrays of its :class:`~seqrl_cli.planning.rollout.EpisodeRecord`. The HDF5 file is
written first: where the JSON is, the episode is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from seqrl_cli.data.formats.hdf5 import open_hdf5, read_numbers
from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.rollout import EpisodeRecord
from seqrl_cli.runs.atomic import atomic_path, fsync, write_json_atomic, writing
from seqrl_cli.runs.json_fields import JsonFieldError, count_field, flag_field, number_field, read_object, text_field
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import SCHEMA_VERSION, refuse_newer_schema, versions

Value = TypeVar("Value")

_STAGED = ".new-"  # before the name of a file that waits to take the place of another
_MISSING = "`seqrl plan` writes an episode-000.json and an episode-000.h5 for each episode"


class DamagedEpisodeError(SeqrlError):
    """A file of an episode is missing, truncated, damaged or foreign."""


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What the episodes of one plan have in common, by the keys of their JSON files.

    Attributes:
        dataset: the dataset that the model was trained on.
        env_id: the environment that was played.
        run: name of the trained model.
        arch: its architecture.
        checkpoint_step: updates of the checkpoint that played; None when unknown.
        parent: the run that this one was fine-tuned from; None when it was trained from scratch.
        recipe: hash of what the model was made by, without its seed; None when unknown.
        settings: the plan's settings by key, without those that change no episode.
        engine: what ran the model; None when unknown.
        seed: what environments and samples derive from, together with the episode's number.
    """

    dataset: str
    env_id: str
    run: str
    arch: str
    checkpoint_step: int | None = None
    parent: str | None = None
    recipe: str | None = None
    settings: Mapping[str, Any]
    engine: str | None = None
    seed: int


@dataclass(frozen=True)
class EpisodeFile:
    """The JSON file of one episode.

    Attributes:
        path: the file.
        plan: what it shares with the other episodes of its plan.
        episode: its number in the plan.
        score: normalized score as a fraction; None where the environment has no reference scores.
        return_: sum of its rewards.
        steps: environment steps T.
        terminated: whether the environment ended it, rather than the step limit.
        environment_seed: of its environment; None when unknown.
        seconds_per_step: mean wall time of a step; None when unknown.
        versions: of the packages that decide the numbers.
        schema_version: of the file.
    """

    path: Path
    plan: PlanFacts
    episode: int
    score: float | None
    return_: float
    steps: int
    terminated: bool
    environment_seed: int | None = None
    seconds_per_step: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def states_path(self) -> Path:
        """The HDF5 file beside it."""
        return self.path.with_suffix(".h5")


@dataclass(frozen=True)
class EpisodeStates:
    """What drawing needs of the HDF5 file of an episode of T steps.

    Attributes:
        rewards: ``(T,)`` float64.
        qpos: simulator positions before every step and after the last, ``(T + 1, nq)`` float64.
        plan_observations: ``(T, H, observation_dim)`` float64, NaN where no plan was made; None when the model does
            not plan ahead.
        actions: ``(T, action_dim)`` float32; None when the file has none.
    """

    rewards: np.ndarray
    qpos: np.ndarray
    plan_observations: np.ndarray | None
    actions: np.ndarray | None


def episode_path(folder: Path, episode: int) -> Path:
    """The JSON file of an episode of a plan folder."""
    return folder / f"episode-{episode:03d}.json"


def episode_paths(folder: Path, *, below: bool = False) -> list[Path]:
    """The JSON files of a plan folder's episodes in order; with ``below`` also those of the folders in it."""
    return sorted(folder.rglob("episode-*.json") if below else folder.glob("episode-*.json"))


def episode_numbers(folder: Path) -> list[int]:
    """The numbers of a plan folder's episodes in ascending order."""
    numbers = (path.stem.removeprefix("episode-") for path in episode_paths(folder))
    return sorted(int(number) for number in numbers if number.isdecimal())


def plan_folders(run: RunFolder) -> list[Path]:
    """The run's plan folders that contain an episode, the one written last at the end."""
    if not run.plans.is_dir():
        return []
    paths = {folder: episode_paths(folder) for folder in run.plans.iterdir()}
    planned = [folder for folder in paths if paths[folder]]
    return sorted(planned, key=lambda folder: max(path.stat().st_mtime for path in paths[folder]))


def write_episode(
    folder: Path, plan: PlanFacts, record: EpisodeRecord, score: float | None, *, staged: bool = False
) -> Path:
    """Write both files of an episode, each whole or not at all.

    Args:
        folder: the plan folder.
        plan: what the episode shares with the others.
        record: what was played.
        score: normalized score as a fraction; None where the environment has no reference scores.
        staged: whether the files wait for :func:`replace_episodes`, unseen by readers.

    Returns:
        The path of the JSON file.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    path = episode_path(folder, record.episode)
    path = path.with_name(_STAGED + path.name) if staged else path
    with atomic_path(path.with_suffix(".h5")) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        file.attrs.update(env_id=plan.env_id, dataset=plan.dataset, schema_version=SCHEMA_VERSION)
        for name, array in asdict(record).items():
            if isinstance(array, np.ndarray):
                file.create_dataset(name, data=array, compression="gzip", track_times=False)
    content = {
        "schema_version": SCHEMA_VERSION,
        "score": score,
        "return": record.total_reward,
        "step": len(record.actions) - 1,
        "term": record.terminated,
        "episode": record.episode,
        "seed": plan.seed,
        "environment_seed": record.seed,
        **asdict(plan),
        "seconds_per_step": record.seconds_per_step,
        "versions": versions(),
    }
    write_json_atomic(path, content)
    return path


def read_episode(path: Path) -> EpisodeFile:
    """Read the JSON file of an episode, by its own path or by that of the HDF5 file beside it.

    Raises:
        DamagedEpisodeError: the file is missing, truncated or not an episode of ``seqrl plan``.
        SeqrlError: a newer seqrl wrote it.
    """
    path = path.with_suffix(".json")
    if not path.is_file():
        raise DamagedEpisodeError(f"there is no file {path}", _MISSING)
    try:
        values = read_object(path)
        version = count_field(values, "schema_version")
        refuse_newer_schema(path, values)
        return _episode(path, version, values)
    except JsonFieldError as error:
        raise DamagedEpisodeError(
            f"{path} is not a whole episode: {error}", "`seqrl plan --force` makes it anew"
        ) from error


def _episode(path: Path, version: int, values: Mapping[str, Any]) -> EpisodeFile:
    return EpisodeFile(
        path=path,
        plan=_plan_facts(values),
        episode=count_field(values, "episode"),
        score=None if values.get("score", "") is None else number_field(values, "score"),
        return_=number_field(values, "return"),
        steps=count_field(values, "step") + 1,
        terminated=flag_field(values, "term"),
        environment_seed=_if_known(values, "environment_seed", count_field),
        seconds_per_step=_if_known(values, "seconds_per_step", number_field),
        versions=values.get("versions") or {},
        schema_version=version,
    )


def _plan_facts(values: Mapping[str, Any]) -> PlanFacts:
    if not isinstance(values.get("settings"), dict):
        raise JsonFieldError("it has no settings")
    return PlanFacts(
        **{key: text_field(values, key) for key in ("dataset", "env_id", "run", "arch")},
        checkpoint_step=_if_known(values, "checkpoint_step", count_field),
        parent=_if_known(values, "parent", text_field),
        recipe=_if_known(values, "recipe", text_field),
        settings=values["settings"],
        engine=_if_known(values, "engine", text_field),
        seed=count_field(values, "seed"),
    )


def _if_known(values: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any], str], Value]) -> Value | None:
    """A field that older versions did not write, or wrote as null."""
    return None if values.get(key) is None else read(values, key)


def is_whole(episode: EpisodeFile) -> bool:
    """Whether the HDF5 file beside an episode's JSON contains the actions of all of its steps."""
    actions = read_array(episode.path, "actions")
    return actions is not None and len(actions) == episode.steps


def read_array(path: Path, name: str) -> np.ndarray | None:
    """An array ``(T, …)`` of the episode with this JSON file; None when its HDF5 file is missing or damaged."""
    try:
        with h5py.File(path.with_suffix(".h5")) as file:
            return np.asarray(file[name][:])
    except (OSError, KeyError, ValueError, RuntimeError):
        return None


def read_states(episode: EpisodeFile) -> EpisodeStates:
    """Read what drawing needs of an episode's HDF5 file.

    Raises:
        SeqrlError: the file is missing, truncated, damaged or does not come from ``seqrl plan``.
    """
    path = episode.states_path
    with open_hdf5(path, _MISSING) as file:
        rewards = read_numbers(file, "rewards", 1, _MISSING)
        qpos = read_numbers(file, "qpos", 2, _MISSING)
        plans = read_numbers(file, "plan_observations", 3, _MISSING) if "plan_observations" in file else None
        actions = read_numbers(file, "actions", 2, _MISSING).astype(np.float32) if "actions" in file else None
    steps = len(rewards)
    if not steps or len(qpos) != steps + 1 or (plans is not None and len(plans) != steps):
        raise SeqrlError(f"{path} has {steps} rewards but {len(qpos)} states; it is not whole", _MISSING)
    for name, array in (("rewards", rewards), ("qpos", qpos)):
        if not np.isfinite(array).all():
            raise SeqrlError(f"{name} in {path} has values that are not finite", _MISSING)
    return EpisodeStates(rewards, qpos, plans, actions)


def replace_episodes(folder: Path) -> None:
    """Put the staged episodes of a plan folder in the place of all that are there.

    Old and new episodes are never side by side, even when the program is killed in between.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    with writing(folder):
        for suffix in ("json", "h5"):  # the JSON vouches for the states, so it goes first and comes last
            for path in folder.glob(f"episode-*.{suffix}"):
                path.unlink()
        for suffix in ("h5", "json"):
            for path in folder.glob(f"{_STAGED}episode-*.{suffix}"):
                path.rename(path.with_name(path.name.removeprefix(_STAGED)))
        fsync(folder)


def discard_staged(folder: Path) -> None:
    """Remove the staged episodes of a plan folder; raises as :func:`replace_episodes`."""
    with writing(folder):
        for path in folder.glob(f"{_STAGED}episode-*"):
            path.unlink()
