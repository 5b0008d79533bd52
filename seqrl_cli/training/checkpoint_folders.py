"""Where checkpoints lie: a folder per saved step."""

from __future__ import annotations

from pathlib import Path


def step_folder(checkpoints: Path, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return checkpoints / f"{step:08d}"


def saved_steps(checkpoints: Path) -> list[int]:
    """Steps that have a folder, in ascending order; their files may be damaged."""
    if not checkpoints.is_dir():
        return []
    return sorted(int(folder.name) for folder in checkpoints.iterdir() if folder.name.isdecimal() and folder.is_dir())
