"""Completions for the shell. Typer filters them by the typed prefix; heavy imports are not allowed here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import typer

Completion = Callable[[], list[str]]


def one_of(*values: str) -> Completion:
    """A completion that offers fixed values."""
    return lambda: list(values)


def architectures() -> list[str]:
    """Values of --arch."""
    from seqrl_cli.config.architectures import ARCHITECTURES

    return list(ARCHITECTURES)


def methods() -> list[str]:
    """Values of --method."""
    from seqrl_cli.continual.methods import METHODS

    return list(METHODS)


def values_of(section: str, key: str) -> Completion:
    """A completion that offers the values of a configuration key."""

    def complete() -> list[str]:
        from seqrl_cli.config.overrides import sections_of
        from seqrl_cli.config.schema import Config

        models = sections_of(Config.model_fields[section].annotation)
        fields = [model.model_fields.get(key) for model in models]
        return [value for field in fields if field for value in get_args(field.annotation) if isinstance(value, str)]

    return complete


def presets() -> list[str]:
    """Values of --preset."""
    from seqrl_cli.config.presets import preset_names

    return preset_names()


def presets_and_datasets(context: typer.Context) -> list[str]:
    """Arguments of ``presets show``."""
    return sorted({*presets(), *datasets(context)})


def datasets(context: typer.Context) -> list[str]:
    """Datasets of the catalogue and of the run directory."""
    from seqrl_cli.data.catalogue import list_datasets
    from seqrl_cli.data.pretrained import pretrained_checkpoints

    store = _store(context)
    local = [store.name_of(folder.path) for folder in store.dataset_folders()]
    published = pretrained_checkpoints() if context.info_name == "download" else ()
    return sorted({spec.id for spec in list_datasets()} | set(local) | set(published))


def simulated_datasets(context: typer.Context) -> list[str]:
    """Simulated datasets."""
    return [name for name in datasets(context) if name.startswith("sim/")]


def demos(context: typer.Context) -> list[str]:
    """Subjects of ``demo``."""
    return ["domains", "continual", *simulated_datasets(context)]


def runs(context: typer.Context) -> list[str]:
    """Runs of the run directory, newest first."""
    store = _store(context)
    return [store.name_of(folder.path) for folder, _ in reversed(store.runs())]


def runs_and_datasets(context: typer.Context) -> list[str]:
    """Runs, datasets that have runs, and sweeps."""
    names = runs(context)
    return [*names, *sorted({name.rpartition("/")[0] for name in names}), *sweeps(context)]


def sweep_words(context: typer.Context) -> list[str]:
    """Arguments of ``sweep``: datasets and keys, the papers' sweeps, and after ``status`` or ``run`` the known ones."""
    from seqrl_cli.config.sweep_file import sweep_presets

    return ["status", "run", *sweep_presets(), *sweeps(context), *datasets_and_keys(context)]


def sweeps(context: typer.Context) -> list[str]:
    """Sweeps of the run directory."""
    from seqrl_cli.runs.sweeps import sweep_names

    return sweep_names(_store(context))


def policies(context: typer.Context) -> list[str]:
    """Shipped policies and trained runs."""
    return ["random", "medium", "expert", *runs(context)]


def environments() -> list[str]:
    """Families with shipped policies."""
    return ["hopper", "halfcheetah", "walker2d", "ant"]


def datasets_and_keys(context: typer.Context) -> list[str]:
    """Datasets and configuration keys."""
    return [*datasets(context), *_keys("")]


def runs_and_plan_keys(context: typer.Context) -> list[str]:
    """Runs and the configuration keys of planning."""
    return [*runs(context), *_keys("plan.")]


def runs_and_online_keys(context: typer.Context) -> list[str]:
    """Runs and the configuration keys of online fine-tuning."""
    return [*runs(context), *_keys("online.")]


def _keys(prefix: str) -> list[str]:
    """Configuration keys as ``key=``."""
    from seqrl_cli.config.overrides import dotted_keys
    from seqrl_cli.config.schema import Config

    return [f"{key}=" for key in dotted_keys(Config) if "." in key and key.startswith(prefix)]


def _store(context: typer.Context) -> Any:
    """The run directory named on the command line so far, else the default."""
    from seqrl_cli.runs.store import RunStore

    named = context.params.get("runs_dir") or os.environ.get("SEQRL_RUNS") or "runs"
    return RunStore(Path(named))
