"""Where the files that ship with the program are."""

from __future__ import annotations

from pathlib import Path


def presets_folder() -> Path:
    """The folder ``presets``: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parents[1]
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "presets"
