"""Disk space that a command will need, for dry runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.sizes import Sizes
from seqrl_cli.console import byte_size
from seqrl_cli.files.atomic import free_space


def total_bytes(parts: Sequence[int | None]) -> int | None:
    """The sum of some sizes; None when one of them is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def missing_dataset_bytes(dataset: DatasetRef, sizes: Sizes) -> int | None:
    """Bytes that ``dataset.h5`` still needs: 0 when it exists, None when its size is unknown."""
    return 0 if dataset.exists else sizes.dataset_bytes()


def disk_text(folder: Path, needed: int | None) -> str:
    """The bytes needed in a folder and those that are free: ``62.0 MB (1.2 GB are free)``."""
    free = free_space(folder)
    available = f"{byte_size(free)} are free"
    if needed is None:
        return f"unknown ({available})"
    return f"{byte_size(needed)} ({'but only ' if needed > free else ''}{available})"
