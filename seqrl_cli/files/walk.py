"""Every folder below another one, by any links that lead there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path


def walk(root: Path, skipped: Collection[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """Each folder with the names of its files, in the order of names; hidden folders are left out.

    Links to folders are followed, but no folder is visited twice, so that a link to a folder above it ends.

    Args:
        root: begins with it; if it is missing, there are none.
        skipped: names of folders to leave out, too.
    """
    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            folders[:] = []
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in sorted(folders) if name not in skipped and not name.startswith(".")]
        yield folder, files
