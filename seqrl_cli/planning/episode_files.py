"""The files of planned episodes; only this module names, writes and reads them.

An episode in a plan folder has two files: ``episode-000.json`` with its settings and its result, and ``episode-000.h5``
with the arrays of its :class:`EpisodeRecord`. The HDF5 file comes first, so an episode with a JSON file is complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_json_atomic
from seqrl_cli.files.hdf5 import open_hdf5, read_all, read_numbers, write_hdf5
from seqrl_cli.files.json_fields import JsonFieldError, count_field, flag_field, number_field, read_object, text_field
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.files.walk import walk
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.runs.layout import RunFolder, stays_below
from seqrl_cli.runs.record import refuse_newer_schema, versions

Value = TypeVar("Value")

STAGED = ".new-"
"""Prefix of a file that is about to replace another."""

SCHEMA_VERSION = 2  # since 2, sampled plans draw from a random stream of their own
_NAME = re.compile(r"episode-\d+\.(json|h5)", re.ASCII)
_REPLAN = "`seqrl plan --force` plans it again"
_MAX_EARNED = 1e30
_MISSING = "`seqrl plan` writes an episode-000.json and an episode-000.h5 for each episode"


class DamagedEpisodeError(SeqrlError):
    """A file of an episode is missing, truncated, damaged or not an episode at all."""


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What the episodes of one plan share, under the keys of their JSON files.

    Attributes:
        dataset: id of the dataset that the model was trained on.
        env_id: the environment.
        run: name of the trained model.
        arch: architecture of the model.
        checkpoint_step: updates of the checkpoint that was used; None when unknown.
        parent, learned: the run that was fine-tuned, by name if online, else by folder; and what learned if not online.
        recipe: hash of the model's training configuration without its seed; None when unknown.
        weights: first digits of the hash of the model's weights; None when unknown.
        settings: the plan's settings by key, without those that do not affect episodes.
        engine: the implementation that ran the model; None when unknown.
        seed: together with an episode's number, determines all of its random numbers.
    """

    dataset: str
    env_id: str
    run: str
    arch: str
    checkpoint_step: int | None = None
    parent: str | None = None
    learned: str | None = None
    recipe: str | None = None
    weights: str | None = None
    settings: Mapping[str, Any]
    engine: str | None = None
    seed: int


@dataclass(frozen=True)
class EpisodeFile:
    """The JSON file of one episode.

    Attributes:
        path: the file.
        plan: facts that it shares with the other episodes of its plan.
        episode: number of the episode.
        score: normalized score as a fraction; None if the environment has no reference scores.
        return_: sum of its rewards.
        steps: number of environment steps (T).
        terminated: whether the environment ended it rather than the step limit.
        environment_seed: seed of its environment; None when unknown.
        seconds_per_step: mean wall time per step; None when unknown.
        plan_length: mean number of transitions of its plans; None when it has none, or unknown.
        versions: versions of the packages that affect the numbers.
        schema_version: version of the file's schema.
        success, success_at_end: whether the task was solved at any step, and at the last; None if not reported.
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
    plan_length: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    success: bool | None = None
    success_at_end: bool | None = None

    @property
    def states_path(self) -> Path:
        """The HDF5 file beside it."""
        return self.path.with_suffix(".h5")


@dataclass(frozen=True)
class EpisodeStates:
    """What drawing needs from the HDF5 file of an episode of T steps.

    Attributes:
        rewards: ``(T,)`` float64.
        qpos: simulator positions before every step and after the last, ``(T + 1, nq)`` float64.
        plan_observations: ``(T, H, observation_dim)`` float64, NaN at steps without a new plan; None without plans.
        actions: ``(T, action_dim)`` float32, or choices ``(T,)``; None if the file has none.
    """

    rewards: np.ndarray
    qpos: np.ndarray
    plan_observations: np.ndarray | None
    actions: np.ndarray | None


def episode_path(folder: Path, episode: int) -> Path:
    """The JSON file of an episode in a plan folder."""
    return folder / f"episode-{episode:03d}.json"


def episode_paths(folder: Path, *, below: bool = False) -> list[Path]:
    """The JSON files of the episodes in a plan folder, in order; ``below`` includes those of its subfolders."""
    found = walk(folder) if below else [(str(folder), [path.name for path in folder.glob("episode-*.json")])]
    paths = (Path(parent) / name for parent, names in found for name in names if is_episode_file(name, ".json"))
    return sorted(paths, key=lambda path: (path.parent, natural_order(path.name)))


def is_episode_file(name: str, suffix: str) -> bool:
    """Whether a file's name is that of an episode; ``episode-000 (copy).json`` is not."""
    return name.endswith(suffix) and _NAME.fullmatch(name) is not None


def episode_numbers(folder: Path) -> list[int]:
    """The numbers of the episodes in a plan folder, sorted."""
    return sorted(int(path.stem.removeprefix("episode-")) for path in episode_paths(folder))


def rename_run_in_episode(path: Path, **names: str) -> None:
    """Replace the name of the run, or of its parent, in an episode's JSON; its other content and time stay.

    Args:
        path: the JSON file; one that cannot be read is left as it is.
        names: ``run`` or ``parent``.
    """
    try:
        content = read_object(path)
    except (JsonFieldError, SeqrlError):
        return
    if all(content.get(key) is not None for key in names):
        changed = path.stat().st_mtime_ns
        write_json_atomic(path, {**content, **names})
        os.utime(path, ns=(changed, changed))  # the latest plan stays the latest


def plan_folders(run: RunFolder) -> list[Path]:
    """The run's plan folders that contain an episode; the one written last comes last."""
    if not run.plans.is_dir():
        return []
    return sorted((folder for folder in run.plans.iterdir() if episode_paths(folder)), key=planned_at)


def planned_at(folder: Path) -> float:
    """When the last episode of a plan folder was written, in seconds since 1970."""
    times = [0.0]
    for path in episode_paths(folder):
        with suppress(FileNotFoundError):  # it is being replaced
            times.append(path.stat().st_mtime)
    return max(times)


def write_episode(
    folder: Path, plan: PlanFacts, record: EpisodeRecord, score: float | None, *, staged: bool = False
) -> Path:
    """Write both files of an episode, each completely or not at all; returns the path of the JSON file.

    Args:
        folder: the plan folder.
        plan: facts that the episode shares with the others.
        record: the episode.
        score: normalized score as a fraction; None if the environment has no reference scores.
        staged: hide the files from readers until :func:`~seqrl_cli.planning.staged_episodes.replace_episodes`.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    path = episode_path(folder, record.episode)
    path = path.with_name(STAGED + path.name) if staged else path
    with write_hdf5(path.with_suffix(".h5"), track_order=True) as file:
        file.attrs.update(env_id=plan.env_id, dataset=plan.dataset, schema_version=SCHEMA_VERSION)
        for name, array in vars(record).items():
            if isinstance(array, np.ndarray):
                file.create_dataset(name, data=array, compression="gzip", track_times=False)
    content = {
        "schema_version": SCHEMA_VERSION,
        "score": score,
        "return": record.total_reward,
        "step": len(record.actions) - 1,
        "term": record.terminated,
        "success": None if record.successes is None else bool(record.successes.any()),
        "success_at_end": None if record.successes is None else bool(record.successes[-1]),
        "episode": record.episode,
        "environment_seed": record.seed,
        **asdict(plan),
        "seconds_per_step": record.seconds_per_step,
        "plan_length": record.plan_length,
        "versions": versions(),
    }
    write_json_atomic(path, content)
    return path


def read_episode(path: Path) -> EpisodeFile:
    """Read the JSON file of an episode, given its path or the path of the HDF5 file beside it.

    Raises:
        DamagedEpisodeError: it is missing, truncated or not written by ``seqrl plan``; or a newer seqrl wrote it.
    """
    path = path.with_suffix(".json")
    if not path.exists():
        raise DamagedEpisodeError(f"there is no file {path}", _MISSING)
    try:
        values = read_object(path)
        refuse_newer_schema(path, values, SCHEMA_VERSION)
        return _episode(path, values)
    except JsonFieldError as error:
        raise DamagedEpisodeError(f"{path} is not a complete episode: {error}", _REPLAN) from error


def _episode(path: Path, values: Mapping[str, Any]) -> EpisodeFile:
    return EpisodeFile(
        path=path,
        plan=_plan_facts(values),
        episode=count_field(values, "episode"),
        score=None if values.get("score", "") is None else _earned(values, "score"),
        return_=_earned(values, "return"),
        steps=count_field(values, "step") + 1,
        terminated=flag_field(values, "term"),
        success=_if_known(values, "success", flag_field),
        success_at_end=_if_known(values, "success_at_end", flag_field),
        environment_seed=_if_known(values, "environment_seed", count_field),
        seconds_per_step=_if_known(values, "seconds_per_step", number_field),
        plan_length=_if_known(values, "plan_length", number_field),
        versions=values.get("versions") or {},
        schema_version=count_field(values, "schema_version"),
    )


def _earned(values: Mapping[str, Any], key: str) -> float:
    """A return or a score, small enough that sums of squares do not overflow."""
    number = number_field(values, key)
    if abs(number) > _MAX_EARNED:
        raise JsonFieldError(f"its {key} is {number:g}, which no episode earns")
    return number


def _plan_facts(values: Mapping[str, Any]) -> PlanFacts:
    if not isinstance(values.get("settings"), dict):
        raise JsonFieldError("it has no settings")
    if not stays_below(text_field(values, "dataset")):
        raise JsonFieldError(f"its dataset, {values['dataset']!r}, is not a folder's name in a run directory")
    return PlanFacts(
        **{key: text_field(values, key) for key in ("dataset", "env_id", "run", "arch")},
        checkpoint_step=_if_known(values, "checkpoint_step", count_field),
        parent=_if_known(values, "parent", text_field),
        learned=_if_known(values, "learned", text_field),
        recipe=_if_known(values, "recipe", text_field),
        weights=_if_known(values, "weights", text_field),
        settings=values["settings"],
        engine=_if_known(values, "engine", text_field),
        seed=count_field(values, "seed"),
    )


def _if_known(values: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any], str], Value]) -> Value | None:
    """Read a field that older versions did not write, or wrote as null."""
    return None if values.get(key) is None else read(values, key)


def is_whole(episode: EpisodeFile) -> bool:
    """Whether the HDF5 file beside an episode's JSON file contains the actions of all of its steps."""
    actions = read_array(episode.path, "actions")
    return actions is not None and len(actions) == episode.steps


def read_array(path: Path, name: str) -> np.ndarray | None:
    """Read an array ``(T, …)`` of the episode with this JSON file; None if its HDF5 file is missing or damaged."""
    try:
        with open_hdf5(path.with_suffix(".h5"), _MISSING) as file:
            return read_all(file[name])
    except SeqrlError:
        return None


def read_states(episode: EpisodeFile) -> EpisodeStates:
    """Read what drawing needs from an episode's HDF5 file.

    Raises:
        SeqrlError: the file is missing, truncated, damaged or not written by ``seqrl plan``.
    """
    path = episode.states_path
    with open_hdf5(path, _MISSING) as file:
        rewards = read_numbers(file, "rewards", 1, _MISSING)
        qpos = read_numbers(file, "qpos", 2, _MISSING)
        plans = read_numbers(file, "plan_observations", 3, _MISSING) if "plan_observations" in file else None
        axes = 1 if getattr(file.get("actions"), "ndim", 2) == 1 else 2  # choices have one
        actions = read_numbers(file, "actions", axes, _MISSING).astype(np.float32) if "actions" in file else None
    steps = len(rewards)
    if not steps:
        raise SeqrlError(f"{path} is damaged: it has no rewards", _REPLAN)
    for name, array, count in (("states", qpos, steps + 1), ("plans", plans, steps), ("actions", actions, steps)):
        if array is not None and len(array) != count:
            message = f"{path} is damaged: it has {len(array)} {name} in place of {count} for its {steps} rewards"
            raise SeqrlError(message, _REPLAN)
    if not (np.isfinite(rewards).all() and np.isfinite(qpos).all()):
        raise SeqrlError(f"rewards or states in {path} are not finite", _REPLAN)
    return EpisodeStates(rewards, qpos, plans, actions)
