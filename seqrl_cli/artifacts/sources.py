"""Where a dataset's episodes come from: simulated, fetched, or a file of the user's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.dataset_settings import (
    check_meaning_of_columns,
    given_for_file,
    refuse_other_environment,
)
from seqrl_cli.artifacts.fetch import fetch_file, without_network
from seqrl_cli.artifacts.references import given_references, own_references
from seqrl_cli.behaviour.qualities import collect_quality
from seqrl_cli.behaviour.scripted import collect_task
from seqrl_cli.config.extras import is_installed
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import DatasetSpec
from seqrl_cli.data.domains import task_of
from seqrl_cli.data.doubtful_ends import doubtful_ends, single_steps
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import DEFAULT_EPISODE_STEPS, ReadOptions
from seqrl_cli.data.formats.read import READING_RULES, content_sha256, read_attributes, read_dataset, stamp
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.download.mirrors import RemoteFile
from seqrl_cli.envs.fit import LoadedDataset, environment_spaces, fit_environment, laid_out, with_all_actions
from seqrl_cli.envs.limits import own_step_limit
from seqrl_cli.errors import SeqrlError, when_interrupted
from seqrl_cli.files.hdf5 import Scalar
from seqrl_cli.runs.download_hashes import record_hash
from seqrl_cli.runs.layout import DatasetFolder
from seqrl_cli.runs.store import RunStore


def load_source(
    spec: DatasetSpec, folder: DatasetFolder, data: DataConfig, console: Console, store: RunStore
) -> LoadedDataset:
    """Load a dataset's episodes and the attributes to store with them.

    Args:
        spec: the dataset.
        folder: the dataset's folder, which may contain an unfinished download.
        data: size and seed of a simulated dataset, environment and meaning of a file.
        console: shows progress.
        store: the run directory, with mirrors, network access and known hashes.

    Raises:
        UsageError: another environment was named for a dataset of the catalogue.
        SeqrlError: it cannot be loaded, or is not in D4RL's layout.
    """
    if spec.source == "file":
        return read_user_file(spec, data, console)
    refuse_other_environment(spec, data.env_id)
    check_meaning_of_columns(spec, data)
    given_references(spec, data)
    if spec.source == "sim":
        episodes, facts = _simulate(spec, data, console)
    else:
        if spec.about is not None:
            console.note(f"{spec.id}: {spec.about}")
        episodes, facts = _download(spec, folder, console, store)
        if doubt := single_steps(episodes):
            console.warn(f"{spec.id}: {doubt}")
    known = {"env_id": spec.env_id, "reference_min": spec.reference_min, "reference_max": spec.reference_max}
    known = {name: value for name, value in known.items() if value is not None or name not in facts}
    return episodes, {**facts, **known, "source": spec.source}


def _simulate(spec: DatasetSpec, data: DataConfig, console: Console) -> LoadedDataset:
    console.note(f"simulating {spec.id}")
    stopped = when_interrupted(f"interrupted; nothing of {spec.id} was kept", "the same command starts over")
    with stopped, console.progress(f"simulating {spec.id}", "steps") as update:
        size, seed = data.transitions, data.seed or 0
        if task := task_of(spec.env_id):
            collected = collect_task(task, transitions=size, seed=seed, progress=update, on_warning=console.warn)
        else:
            assert spec.family is not None and spec.quality is not None
            collected = collect_quality(spec.family, spec.quality, transitions=size, seed=seed, progress=update)
    return collected.episodes, collected.attributes


def _download(spec: DatasetSpec, folder: DatasetFolder, console: Console, store: RunStore) -> LoadedDataset:
    """Fetch a dataset's missing files, read them, and only then record their hashes.

    Files of another dataset are deleted; good ones stay until the dataset is written (:func:`remove_download`).
    """
    raw = _raw(folder)
    stopped = when_interrupted(
        f"interrupted; the downloaded part of {spec.id} is kept", "the same command resumes the download"
    )
    with stopped:
        digests = {
            file.url: fetch_file(file, spec.source, _place(raw, spec, file), store, console, without_network(spec))
            for file in spec.files
        }
    facts: dict[str, Any] = {"url": spec.url, "sha256": digests[spec.files[0].url], "licence": spec.licence}
    spaces = _known_spaces(spec)
    try:
        source = raw if spec.source == "minari" else _place(raw, spec, spec.files[0])
        steps = spec.episode_steps or DEFAULT_EPISODE_STEPS
        # L2M's marks tell where an episode ends, and not why; most are time limits, which the lengths tell.
        marks = ReadOptions(step_limit=steps, dones="ends") if spec.source == "l2m" else ReadOptions()
        episodes = read_dataset(source, replace(marks, max_episode_steps=spec.max_episode_steps, default_steps=steps))
        if spec.source == "minari":
            stated = read_attributes(source)
            _check_id(spec, stated.get("minari_id"))
            facts = {**stated, **facts}
        if spec.env_id is not None and spaces is not None:
            episodes = laid_out(episodes, spec.env_id, spaces)
            hint = "the file is not the dataset that it should be"
            episodes.spaces.first_observations(spec.observation_size).require_fit(spec.id, spaces, spec.env_id, hint)
    except SeqrlError:
        remove_download(folder)
        raise
    for url, digest in digests.items():
        record_hash(store.root, url, digest)
    return episodes, facts


def remove_download(folder: DatasetFolder) -> None:
    """Delete the downloaded files from which a dataset was made, if there are any."""
    shutil.rmtree(_raw(folder), ignore_errors=True)


def _raw(folder: DatasetFolder) -> Path:
    return folder.path / ".download"


def _place(folder: Path, spec: DatasetSpec, file: RemoteFile) -> Path:
    """Where a file is stored until it has been read; Minari's reader expects its files in a folder ``data``."""
    name = Path(file.path).name
    return folder / "data" / name if spec.source == "minari" else folder / name


def _check_id(spec: DatasetSpec, stated: object) -> None:
    """Stop at a Minari dataset with another id; a mirror's folders may be mixed up."""
    wanted = spec.id.removeprefix("minari/")
    if stated not in (None, wanted):
        message = f"the files fetched for {spec.id} have the id {stated!r:.80}, not {wanted!r}"
        raise SeqrlError(message, "check the mirror, or import the folder as it is: seqrl download FOLDER")


def _known_spaces(spec: DatasetSpec) -> Spaces | None:
    """Observations and actions of a dataset's environment; None where it is not known or not installed."""
    if spec.env_id is None or (spec.extra and not is_installed(spec.extra)):
        task = task_of(spec.env_id)
        return task.spaces if task else None
    return environment_spaces(spec.env_id, spec.observation_size)


def read_user_file(spec: DatasetSpec, data: DataConfig, console: Console) -> LoadedDataset:
    """Read a user's file or folder, which must not change meanwhile, and say how it was read.

    Args:
        spec: the dataset.
        data: gymnasium id of its environment (None: the one that the file states), and what its columns mean.
        console: gets one note and the warnings.

    Raises:
        SeqrlError: it is missing or damaged, changes, or is not from the environment.
    """
    path = spec.path
    if path is None:
        raise SeqrlError(f"{spec.id} cannot be made again from its name", "collect it again, or give the file's path")
    env_id = data.env_id or spec.env_id
    references = given_references(spec, data)
    options = file_options(spec, data)
    with _unchanged(path):
        facts: dict[str, Any] = {**read_attributes(path), "source": "file", "reading_rules": READING_RULES}
        episodes = read_dataset(path, options)
        facts |= {"path": path_text(path), "sha256": content_sha256(path)}  # last, since hashing a huge file is slow
    if env_id is not None:
        if options.log.minimal_actions:
            episodes = with_all_actions(episodes, env_id, str(path))
        episodes, about = fit_environment(episodes, env_id, str(path))
        facts |= {**about, **own_references(facts, spec.env_id)}
    facts |= references
    say_how_it_was_read(episodes, options, str(path), env_id, console)
    return episodes, {**facts, **options.log.facts, **given_for_file(data)}


def inspect_user_file(
    spec: DatasetSpec, path: Path, env_id: str | None, console: Console
) -> tuple[Episodes, dict[str, Scalar]]:
    """The episodes of a user's file with NaN and infinities, and what its columns were taken for, which it says.

    Args:
        spec: the dataset.
        path: path of the user's file.
        env_id: gymnasium id of its environment, if it states one.
        console: gets one note and the warnings.

    Raises:
        SeqrlError: the file is damaged.
    """
    options = file_options(spec, finite=False)
    episodes = read_dataset(path, options)
    say_how_it_was_read(episodes, options, str(path), env_id, console)
    return episodes, {**options.log.facts}


def file_options(spec: DatasetSpec, data: DataConfig | None = None, *, finite: bool = True) -> ReadOptions:
    """How to read a user's file: with the step limit that it states, else its environment's.

    Args:
        spec: the dataset.
        data: the user's settings of the data.
        finite: see :class:`ReadOptions`.
    """
    limit = spec.max_episode_steps or _limit_before_reading(spec, data)
    return ReadOptions(
        max_episode_steps=spec.max_episode_steps,
        finite=finite,
        step_limit=limit,
        dones=data.dones if data else None,
        reset_rows=data.reset_rows if data else None,
        skip_damaged=bool(data and data.skip_damaged),
    )


def _limit_before_reading(spec: DatasetSpec, data: DataConfig | None) -> int | None:
    """The step limit of the environment that the user or the file names; a file's word imports no module."""
    if data is not None and data.env_id is not None:
        return own_step_limit(data.env_id)
    return own_step_limit(spec.env_id) if spec.env_id is not None and ":" not in spec.env_id else None


def say_how_it_was_read(
    episodes: Episodes, options: ReadOptions, name: str, env_id: str | None, console: Console
) -> None:
    """Print what a file's columns were taken for, and warn of ends that look wrong."""
    log = options.log
    place = env_id or "its environment"
    notes, warnings = ([log.note] if log.note else []), list(log.warnings)
    if log.cut_after is not None:
        about = _about_cuts(log, place, is_known=options.step_limit is not None)
        (warnings if log.cuts and options.step_limit is None else notes).extend(about)
    if notes:
        console.note(f"{name}: {'; '.join(notes)}")
    for warning in (*warnings, *doubtful_ends(episodes, options.step_limit, place)):
        console.warn(f"{name}: {warning}")


def _about_cuts(log: ReadingLog, environment: str, *, is_known: bool) -> list[str]:
    """What to say about episodes whose step limits no column marks: a sentence, or nothing."""
    cut = f", so episodes are cut after {log.cut_after:,} steps" if log.cuts else ""
    if is_known:
        return [f"no column tells of step limits{cut}, as {environment} does"] if cut else []
    return [f"no column tells of step limits{cut}; data.env_id=ID names an environment, whose limit is then used"]


def path_text(path: Path) -> str:
    """A file's full path as text to store, the same in every locale; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path.resolve()).decode("utf-8", "backslashreplace")


@contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """Stop if a dataset changes while the block reads it; another program may still be writing it.

    Raises:
        SeqrlError: it has changed, or a part of it is missing.
    """
    changed = SeqrlError(f"{path} changed while it was read", "try again when it is written completely")
    try:
        before = stamp(path)
        try:
            yield
        except SeqrlError as error:
            if stamp(path) != before:
                raise changed from error
            raise
        if stamp(path) != before:
            raise changed
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror or error}", "check the file") from error
