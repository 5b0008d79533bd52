"""Find the dataset that a user names, which need not exist yet, and the configuration for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.facts import DatasetFile
from seqrl_cli.artifacts.mixture import DatasetMixture, split_mixture
from seqrl_cli.artifacts.sources import path_text
from seqrl_cli.config.overrides import overridden
from seqrl_cli.config.presets import load_config, resolve_config, validate
from seqrl_cli.config.schema import Config
from seqrl_cli.data.catalogue import DatasetSpec, named_datasets, resolve, spec_of_file
from seqrl_cli.data.suites import expand, has_suite, suites
from seqrl_cli.envs.trust import accept
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.layout import RESERVED
from seqrl_cli.runs.store import RunStore


def locate(store: RunStore, dataset: str) -> DatasetRef:
    """Find a dataset by its catalogue name, its name in the run directory, or its path; several are joined by ``+``.

    Raises:
        UsageError: there is no such dataset; the nearest name is offered.
        SeqrlError: there is no dataset at the path.
    """
    if "://" in dataset:
        message = f"{dataset} is an address, and neither a file nor a dataset that seqrl knows"
        raise UsageError(message, "download the file first, for example with curl -LO, and give its path")
    if "\0" in dataset:  # of a file; nobody can type one
        raise UsageError(f"{dataset!r} cannot be the name of a dataset", "`seqrl download --list` lists all")
    known = named_datasets()
    dataset = dataset if dataset in known else _stored_name(store, dataset)
    if ("+" in dataset or dataset in suites()) and not _is_users_path(store, dataset):
        return _locate_several(store, dataset)
    folder = store.dataset(dataset)
    if dataset not in known and folder.dataset.exists():
        file = DatasetFile(folder.dataset)
        spec = spec_of_file(dataset, folder.dataset, file.read().attributes)
        return DatasetRef(dataset, replace(spec, path=None), folder, store, file)
    spec = _resolve(store, dataset)
    if spec.path is not None:
        return _locate_file(store, spec, spec.path)
    return DatasetRef.of(spec.id, spec, store)


def _resolve(store: RunStore, dataset: str) -> DatasetSpec:
    """Resolve a name as :func:`resolve` does; a dataset that has runs but no file any more is missing, not unknown."""
    try:
        return resolve(dataset)
    except UsageError as error:
        folder = store.dataset(dataset)
        if not any(folder.path.glob("*/run.json")):
            raise
        hint = f"make it again of its file, which must have the same name: seqrl download PATH/TO/{folder.path.name}.…"
        raise SeqrlError(f"{folder.dataset} is missing, on which runs beside it were trained", hint) from error


def _locate_several(store: RunStore, joined: str) -> DatasetRef:
    """The datasets and suites that a user joined with ``+``."""
    known = named_datasets()
    names = split_mixture(joined, lambda name: name in known or store.dataset(name).dataset.exists())
    suite = joined if has_suite(names) else None
    return DatasetMixture.of_parts([locate(store, part) for part in (expand(names) if suite else names)], store, suite)


def find_stored(store: RunStore, dataset: str) -> DatasetRef | None:
    """The dataset that a run's record names; None if its data is not in the run directory."""
    is_mixture = "+" in dataset or dataset in suites()
    try:
        if not is_mixture and not store.dataset(dataset).dataset.exists():
            return None
        ref = locate(store, dataset)
        return ref if ref.exists else None
    except (UsageError, OSError, ValueError):  # a part of a mixture is missing, or no folder can have the name
        return None


def _is_users_path(store: RunStore, dataset: str) -> bool:
    """Whether a name with a ``+`` is the path of a user's file, and not of a mixture's folder in the run directory."""
    path, mixture = Path(dataset), store.dataset(dataset).path
    return path.exists() and not (path.is_dir() and path.resolve() == mixture.resolve())


def _stored_name(store: RunStore, dataset: str) -> str:
    """The name of a dataset whose folder in the run directory was given; other names are returned unchanged."""
    folder = Path(dataset).resolve()
    is_dataset = store.dataset(folder).dataset.is_file() or ("+" in folder.name and folder.is_dir())
    if is_dataset and folder.is_relative_to(store.root.resolve()):
        return folder.relative_to(store.root.resolve()).as_posix()
    return dataset.rstrip("/") or dataset


def _locate_file(store: RunStore, spec: DatasetSpec, path: Path) -> DatasetRef:
    """``local/<stem>`` for a user's file or folder; a hash is appended if another file has that name already."""
    named = path.resolve()
    if named.name == "data" and named.is_dir():
        named = named.parent  # a Minari dataset's parent folder has its name
    stem = named.name if named.is_dir() else named.stem
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    ref = DatasetRef.of(f"local/{'dataset' if plain in ('', *RESERVED) else plain}", spec, store)
    if ref.facts is None or ref.facts.attributes.get("path") in (None, path_text(path)):
        return ref
    return DatasetRef.of(f"{ref.id}-{hashlib.sha256(path_text(path).encode()).hexdigest()[:8]}", spec, store)


def dataset_config(
    store: RunStore,
    dataset: str | None,
    *,
    size: str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    config_file: Path | None = None,
) -> tuple[DatasetRef, Config]:
    """Find the dataset and resolve the configuration for it.

    Args:
        store: the run directory, with its network access.
        dataset: the dataset that the user named; may be left out with ``config_file``.
        size: ``paper`` or ``laptop``; None = by the dataset's name.
        preset: name of a preset; None = by the dataset's name.
        overrides: values by dotted key, which take precedence over all others.
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
    ref = locate(store, dataset)
    _accept_environment(ref, overrides or {})
    if base:
        return ref, validate(overridden({**base.model_dump(), "dataset": ref.id}, overrides or {}))
    return ref, resolve_config(ref.id, size=size, preset=preset, overrides=overrides)


def _accept_environment(dataset: DatasetRef, overrides: Mapping[str, Any]) -> None:
    """Trust the environment that the user named; its module may be beside the data."""
    if isinstance(env_id := overrides.get("data.env_id"), str):
        path = dataset.spec.path
        accept(env_id, [Path.cwd(), *([path.absolute(), path.absolute().parent] if path else [])])
