"""Replacing the episodes of a plan folder by others, which are staged beside them until all are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seqrl_cli.files.atomic import fsync, write_json_atomic, writing
from seqrl_cli.files.json_text import read_json
from seqrl_cli.planning.episode_files import STAGED, is_episode_file

_REPLACING = ".replacing.json"
"""Exists while staged episodes take the places of others: names the files that are to be there in the end."""


def replace_episodes(folder: Path) -> None:
    """Replace all episodes of a plan folder by the staged ones; old and new never exist side by side.

    After a kill, :func:`finish_replacement` does the rest.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    write_json_atomic(folder / _REPLACING, sorted(path.name.removeprefix(STAGED) for path in _staged(folder)))
    finish_replacement(folder)


def finish_replacement(folder: Path) -> None:
    """Do what is left of a replacement that had begun, if there is one.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    marker = folder / _REPLACING
    with writing(folder):
        try:
            new = read_json(marker)
        except FileNotFoundError:
            return
        except ValueError:
            new = None
        if not isinstance(new, list):  # nothing that we wrote: what is staged is discarded as after any other cut
            marker.unlink()
            return
        # A JSON file stands for a complete episode, so it is removed first and renamed last.
        for suffix in (".json", ".h5"):
            for path in [path for path in folder.iterdir() if is_episode_file(path.name, suffix)]:
                if path.name not in new or (folder / f"{STAGED}{path.name}").exists():
                    path.unlink()
        for suffix in (".h5", ".json"):
            for path in [path for path in _staged(folder) if path.suffix == suffix]:
                path.rename(path.with_name(path.name.removeprefix(STAGED)))
        fsync(folder)
        marker.unlink()


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
