"""Sweeps as YAML files: those of the papers under ``presets/sweeps/``, and the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from seqrl_cli.config.faults import sentence
from seqrl_cli.config.grid import Grid, Texts, parse_axes, parse_seeds
from seqrl_cli.config.resources import presets_folder
from seqrl_cli.config.section import Section
from seqrl_cli.config.value_text import value_text
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.yaml_text import read_yaml_mapping


class SweepFile(Section):
    """The content of a sweep's file; a list of values is an axis."""

    title: str = Field("", description="what the sweep repeats")
    source: str = Field("", description="where its grid was published")
    datasets: tuple[str, ...] = Field(min_length=1, description="datasets")
    arch: tuple[str, ...] = Field((), description="architectures")
    seeds: str = Field("42", description="seeds, such as 1-5")
    size: str | None = Field(None, description="paper or laptop")
    preset: str | None = Field(None, description="preset of all datasets; null = each dataset's own")
    train: dict[str, Any] = Field({}, description="configuration of the training by key; a list is an axis")
    plan: dict[str, Any] | None = Field(None, description="settings to plan with by key; null = no planning")

    @field_validator("datasets", "arch", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _as_typed(cls, value: Any) -> Any:
        if isinstance(value, list):
            return ",".join(map(str, value))
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def sweep_presets() -> dict[str, Path]:
    """The sweeps that ship with the program, by name."""
    return {path.stem: path for path in sorted((presets_folder() / "sweeps").glob("*.yaml"))}


def find_sweep_file(subject: str) -> Path | None:
    """The file that a user names, by its path or as a preset; None if the subject is no sweep's file.

    Raises:
        UsageError: the path ends in .yaml or .yml, and there is no such file.
    """
    if Path(subject).suffix in (".yaml", ".yml"):
        if not Path(subject).is_file():
            own = ", ".join(sweep_presets())
            raise UsageError(
                f"there is no file {subject}", f"check the path; seqrl's own are named without .yaml: {own}"
            )
        return Path(subject)
    return sweep_presets().get(subject)


def read_sweep_file(path: Path, train_keys: Iterable[str], plan_keys: Iterable[str]) -> Grid:
    """The grid of a sweep's file.

    Args:
        path: the file.
        train_keys: configuration keys that ``train`` may name.
        plan_keys: configuration keys that ``plan`` may name.

    Raises:
        SeqrlError: it is not a sweep's file.
        UsageError: it names unknown keys, or an axis is empty.
    """
    try:
        content = SweepFile.model_validate(read_yaml_mapping(path))
    except ValidationError as error:
        raise SeqrlError(
            f"{path} is not a sweep: {sentence(error, SweepFile.model_fields)}", "docs/sweeps.md shows one"
        ) from error
    seeds = parse_seeds(content.seeds)
    train = _texts(content.train, train_keys)
    plan = None if content.plan is None else _texts(content.plan, plan_keys)
    return Grid(content.datasets, content.arch, seeds, train, plan, content.size, content.preset)


def _texts(values: Mapping[str, Any], keys: Iterable[str]) -> Texts:
    """Values as they would be typed; a list is an axis."""
    words = []
    for key, value in values.items():
        texts = [value_text(each) for each in (value if isinstance(value, list) else [value])]
        if not texts:
            raise UsageError(f"the axis {key} is empty", "give it values, or leave it out")
        words.append(f"{key}={','.join(texts)}")
    return parse_axes(words, list(keys))
