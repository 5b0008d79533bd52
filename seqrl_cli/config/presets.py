"""Presets: YAML files under ``presets/``, one a dataset family, chosen by the dataset's name.

Layers, each over the one before: the schema's defaults, ``base.yaml`` for the size, the dataset's entry, then what the
user wrote. At laptop size the entry comes first: how to sample stays the dataset's, how much is the laptop's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seqrl_cli.config.overrides import merge, nest, sentence
from seqrl_cli.config.resources import presets_folder
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError, UsageError, unknown


@cache
def _files() -> dict[str, dict[str, Any]]:
    """Every preset file by stem; ``base`` is among them."""
    return {path.stem: read_yaml(path) for path in sorted(presets_folder().glob("*.yaml"))}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        SeqrlError: the file is missing, not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SeqrlError(f"no file {path}", "check the path") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # a date such as 2020-13-01 is a ValueError
        raise SeqrlError(f"{path} cannot be read as YAML", "restore the file, or delete it and start again") from error
    if not isinstance(content, dict):
        raise SeqrlError(f"{path} holds {type(content).__name__}, not a mapping", "restore the file")
    return content


def preset_names() -> list[str]:
    """Names that ``--preset`` takes: ``base`` and every entry of every family."""
    entries = [name for stem, content in _files().items() if stem != "base" for name in content["presets"]]
    return ["base", *entries]


def preset_for(dataset: str) -> str:
    """The preset used for a dataset: its own, that of its D4RL counterpart, or ``base``."""
    names = preset_names()
    own = dataset.removeprefix("local/").replace("_", "-")
    counterpart = dataset.removeprefix("sim/") + "-v2"
    return next((name for name in (own, counterpart) if name in names), "base")


def default_size(dataset: str) -> str:
    """D4RL names get the papers' size; simulated data and files get the one that a laptop finishes in minutes."""
    return "paper" if "/" not in dataset and dataset.endswith(("-v0", "-v1", "-v2")) else "laptop"


def preset_layers(name: str, size: str) -> dict[str, Any]:
    """The values of a preset at a size, over the schema's defaults.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in preset_names():
        raise unknown("preset", name, preset_names(), "seqrl presets list")
    base = _files()["base"][size]
    family = next((content for stem, content in _files().items() if stem != "base" and name in content["presets"]), {})
    entry = family.get("presets", {}).get(name) or {}
    if size == "laptop":
        return merge(entry, base, family.get("laptop", {}))
    return merge(base, entry)


def resolve_config(
    dataset: str, *, size: str | None = None, preset: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """The whole configuration for a dataset.

    Args:
        dataset: dataset id, already known to exist.
        size: ``paper`` or ``laptop``; None = by the dataset's name.
        preset: None = by the dataset's name.
        overrides: dotted keys, strongest of all.

    Raises:
        UsageError: an unknown size or preset, or a value that the schema refuses.
    """
    size = size or default_size(dataset)
    if size not in ("paper", "laptop"):
        raise unknown("size", size, ["paper", "laptop"])
    preset = preset or preset_for(dataset)
    layers = merge(preset_layers(preset, size), nest(overrides or {}))
    return validate({"dataset": dataset, "size": size, "preset": preset, **layers})


def validate(values: Mapping[str, Any]) -> Config:
    """Check nested values against the schema.

    Raises:
        UsageError: names the key, the value and the reason.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"bad value: {sentence(error)}", "`seqrl presets show` prints every key") from error


def load_config(path: Path) -> Config:
    """Read a run's config.yaml.

    Raises:
        SeqrlError: the file is missing, damaged, or written by another version.
    """
    try:
        return Config.model_validate(read_yaml(path))
    except ValidationError as error:
        raise SeqrlError(f"{path} does not fit this version of seqrl: {sentence(error)}", "train anew") from error


def dump_config(config: Config) -> str:
    """The configuration as YAML, in the schema's order."""
    return yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True)
