"""Every folder below another one, by any links that lead there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path


def walk(root: Path, skipped: Collection[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """Each folder with the names of its files, in the order of names; hidden folders are left out.

    Links to folders are followed last, and no folder is visited twice: a folder is known by its own path where it has
    one, and a link to a folder above it ends.

    Args:
        root: the folder to begin with; if it is missing, there are none.
        skipped: names of folders to leave out, too.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [str(root)]
    while waiting:
        links: list[str] = []
        yield from _walk(waiting.pop(0), skipped, visited, links)
        waiting += links


def _walk(
    root: str, skipped: Collection[str], visited: set[tuple[int, int]], links: list[str]
) -> Iterator[tuple[str, list[str]]]:
    """As :func:`walk`, but adds links to folders to ``links``."""
    for folder, folders, files in os.walk(root):
        if not _is_new(folder, visited):
            folders[:] = []
            continue
        wanted = [name for name in sorted(folders) if name not in skipped and not name.startswith(".")]
        paths = {name: os.path.join(folder, name) for name in wanted}
        links += [path for path in paths.values() if os.path.islink(path)]
        folders[:] = [name for name, path in paths.items() if not os.path.islink(path)]
        yield folder, files


def _is_new(folder: str, visited: set[tuple[int, int]]) -> bool:
    """Whether a folder is still there and was not visited; it is from now on."""
    try:
        status = os.stat(folder)
    except OSError:
        return False
    place = (status.st_dev, status.st_ino)
    if place in visited:
        return False
    visited.add(place)
    return True
