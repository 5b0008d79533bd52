"""The files that ship with the program: where they are, and what those in YAML contain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqrl_cli.files.yaml_text import read_package_yaml


def presets_folder() -> Path:
    """The folder ``presets``: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parents[1]
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "presets"


def read_package_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file of the package."""
    facts: dict[str, Any] = read_package_yaml(path)
    return facts
