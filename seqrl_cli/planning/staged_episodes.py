"""Replacing the episodes of a plan folder by others, which are staged beside them until all are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seqrl_cli.files.atomic import fsync, writing
from seqrl_cli.planning.episode_files import STAGED, is_episode_file


def replace_episodes(folder: Path) -> None:
    """Replace all episodes of a plan folder by the staged ones; old and new never exist side by side.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    with writing(folder):
        # A JSON file stands for a complete episode, so it is removed first and renamed last.
        for suffix in (".json", ".h5"):
            for path in [path for path in folder.iterdir() if is_episode_file(path.name, suffix)]:
                path.unlink()
        for suffix in (".h5", ".json"):
            for path in [path for path in _staged(folder) if path.suffix == suffix]:
                path.rename(path.with_name(path.name.removeprefix(STAGED)))
        fsync(folder)


@contextmanager
def replacing_episodes(folders: Sequence[Path], *, staged: bool) -> Iterator[None]:
    """Around a block that writes episodes: staged ones take the places of all others when it ends, or are removed.

    Args:
        folders: folders of the plans.
        staged: whether the block stages what it writes; otherwise only what an earlier one left is removed.

    Raises:
        SeqrlError: a folder cannot be written.
    """
    for folder in folders:
        discard_staged(folder)
    try:
        yield
    except BaseException:
        for folder in folders if staged else ():
            discard_staged(folder)
        raise
    for folder in folders if staged else ():
        replace_episodes(folder)


def discard_staged(folder: Path) -> None:
    """Remove the staged episodes of a plan folder; raises as :func:`replace_episodes`."""
    with writing(folder):
        for path in _staged(folder):
            path.unlink()


def _staged(folder: Path) -> list[Path]:
    return list(folder.glob(f"{STAGED}*"))
