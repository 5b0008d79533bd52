"""Presets: YAML files under ``presets/``, chosen by the dataset's name and the architecture.

Token models have one file per dataset family, and ``base.yaml``; each policy has one file in ``policies/``. A file has
entries by name (``presets``), values that all of them share (``all``), and patterns of datasets that use an entry of
another name (``datasets``).

Layers, the later ones overriding the earlier: the schema's defaults, the base for the size, the dataset's entry, the
recipe, the user's values. At laptop size the entry comes before the base: it decides how to sample, and the base how
much. What an entry has below ``laptop`` overrides both there.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from seqrl_cli.config.architectures import ARCHITECTURES, DEFAULT
from seqrl_cli.config.faults import hint_of, sentence
from seqrl_cli.config.nested import merge
from seqrl_cli.config.overrides import dotted_keys, overridden
from seqrl_cli.config.owners import describe_foreign_key, without_foreign_keys
from seqrl_cli.config.resources import presets_folder, read_package_mapping
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError, UsageError, unknown
from seqrl_cli.files.yaml_text import dump_yaml, read_package_yaml, read_yaml_mapping

SIZES = ("paper", "laptop")


@cache
def _files() -> dict[str, dict[str, Any]]:
    """Every preset file by stem; ``base`` is among them."""
    return {path.stem: read_package_yaml(path) for path in sorted(presets_folder().glob("*.yaml"))}


def preset_names(arch: str = DEFAULT) -> list[str]:
    """Names that ``--preset`` takes: ``base`` and every entry for the architecture."""
    return ["base", *(name for family in _sources(arch)[1] for name in family["presets"])]


def preset_for(dataset: str, arch: str = DEFAULT) -> str:
    """The preset used for a dataset: its own, that of its D4RL counterpart, that of a pattern it fits, or ``base``.

    Datasets joined by ``+`` use the preset of the first.
    """
    dataset = dataset.partition("+")[0]
    names = preset_names(arch)
    own = dataset.removeprefix("local/").replace("_", "-")
    counterpart = dataset.removeprefix("sim/") + "-v2"
    return next((name for name in (own, counterpart) if name in names), None) or _by_pattern(own, arch) or "base"


def _by_pattern(dataset: str, arch: str) -> str | None:
    """The preset of the first pattern that a dataset fits."""
    patterns = [entry for family in _sources(arch)[1] for entry in family.get("datasets", {}).items()]
    return next((name for name, globs in patterns if any(fnmatchcase(dataset, glob) for glob in globs)), None)


def default_size(dataset: str) -> str:
    """``paper`` for D4RL's names; ``laptop``, which trains in minutes, for simulated data and files."""
    return "paper" if "/" not in dataset and dataset.endswith(("-v0", "-v1", "-v2")) else "laptop"


def preset_layers(name: str, size: str, arch: str = DEFAULT, recipe: str | None = None) -> dict[str, Any]:
    """The values of a preset at a size, over the schema's defaults.

    Args:
        name: the preset.
        size: ``paper`` or ``laptop``.
        arch: the architecture.
        recipe: ``train.recipe``; None = the size's own.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in preset_names(arch):
        raise unknown("preset", name, preset_names(arch), "seqrl presets list")
    base, families = _sources(arch)
    family = next((content for content in families if name in content["presets"]), {})
    entry = merge(family.get("all", {}), family.get("presets", {}).get(name) or {})
    small = entry.pop("laptop", {})
    own = base.get(arch, {})
    if size == "laptop":
        layers = merge(entry, base[size], own.get(size, {}), family.get("laptop", {}), small)
    else:
        layers = merge(base[size], own.get(size, {}), entry)
    recipe = recipe or layers.get("train", {}).get("recipe", "paper")
    return merge(layers, *(values.get("recipes", {}).get(recipe, {}) for values in (base, own)))


@cache
def _sources(arch: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The file with an architecture's base values, and those with its entries."""
    entry = ARCHITECTURES.get(arch)  # an unknown name is refused later, with the other values
    if entry and entry.presets:
        own = read_package_mapping(presets_folder() / entry.presets)
        return own, [own]
    return _files()["base"], [content for stem, content in _files().items() if stem != "base"]


def resolve_config(
    dataset: str, *, size: str | None = None, preset: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """The whole configuration for a dataset.

    Args:
        dataset: dataset id, already known to exist.
        size: ``paper`` or ``laptop``; None = by the dataset's name.
        preset: name of a preset; None = by the dataset's name.
        overrides: values by dotted key, which take precedence over all others.

    Raises:
        UsageError: an unknown size or preset, or a value that the schema refuses.
    """
    arch = str((overrides or {}).get("model.arch", DEFAULT))
    size = size or default_size(dataset)
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    preset = preset or preset_for(dataset, arch)
    recipe = (overrides or {}).get("train.recipe")
    named = recipe if isinstance(recipe, str) else None  # anything else is refused with the other values
    layers = overridden(preset_layers(preset, size, arch, named), overrides or {})
    refuse_foreign_keys(arch, overrides or {})
    return validate({"dataset": dataset, "size": size, "preset": preset, **layers})


def refuse_foreign_keys(arch: str, overrides: Mapping[str, Any]) -> None:
    """Refuse given keys that the architecture does not have, even at their defaults.

    Raises:
        UsageError: names the key, the architectures that have it, and this one.
    """
    if wrong := describe_foreign_key(arch, overrides):
        raise UsageError(wrong, "leave it out; `seqrl presets show --arch ARCH` prints the keys of an architecture")


def validate(values: Mapping[str, Any]) -> Config:
    """Check nested values against the schema.

    Raises:
        UsageError: a value does not fit; names the key, the value and the reason.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        hint = hint_of(error) or "`seqrl presets show` prints every key"
        raise UsageError(f"bad value: {sentence(error)}", hint) from error


def load_config(path: Path) -> Config:
    """Read a run's config.yaml.

    Raises:
        SeqrlError: the file is missing, damaged, or written by another version.
    """
    try:
        return Config.model_validate(read_yaml_mapping(path))
    except ValidationError as error:
        hint = "correct the value; `seqrl presets show` prints every key"
        fault = sentence(error, dotted_keys(Config))
        raise SeqrlError(f"{path} does not fit this version of seqrl: {fault}", hint) from error


def dump_config(config: Config) -> str:
    """The configuration as YAML, in the schema's order, without the keys that its architecture does not have.

    A run that was trained from scratch has no section ``finetune``.
    """
    values = without_foreign_keys(config.model_dump(mode="json"), config.model.arch)
    if config.finetune.parent is None:
        del values["finetune"]
    return dump_yaml(values)
