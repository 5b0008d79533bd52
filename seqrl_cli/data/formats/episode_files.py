"""Folders with one file per episode: as many as a million, of which some may be damaged.

Beside the files there may be ``episode_lengths.json`` with the number of steps of each, by the name of its file or as a
list in their order. It tells of files that are missing or were cut. One file is open at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import ReadOptions, join_episodes
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_text import parse_json
from seqrl_cli.files.regular import TooLargeError, read_text, reason

LENGTHS_NAME = "episode_lengths.json"

_NAMES_SHOWN = 3
_SKIP_HINT = "data.skip_damaged=true leaves out files that cannot be read"


def read_episode_files(
    folder: Path, files: Sequence[Path], options: ReadOptions, read: Callable[[Path], Episodes]
) -> Episodes:
    """Read the files of a folder, one episode or recording each, in order.

    Args:
        folder: folder that holds the files.
        files: the files, at least one.
        options: whether to leave out damaged ones, and where to note that.
        read: reads one file.

    Raises:
        SeqrlError: a file is damaged, missing or of another length than stated, or has other sizes than the first.
    """
    lengths = _stated_lengths(folder, files, options)
    damaged: dict[str, str] = {}
    missing = sorted(set(lengths) - {file.stem for file in files})
    if missing and not options.skip_damaged:
        raise SeqrlError(_of_missing(folder, missing), _SKIP_HINT)
    if missing:
        options.log.warn(_of_missing(folder, missing))
    episodes = join_if_any(_each(files, lengths, options, read, damaged))
    if damaged:
        names = ", ".join(list(damaged)[:_NAMES_SHOWN]) + (" …" if len(damaged) > _NAMES_SHOWN else "")
        count = f"{len(damaged)} of {len(files)} files" if len(files) > 1 else "the only file"
        options.log.warn(f"left out {count}, {names}; the first because {next(iter(damaged.values()))}")
    if episodes is None:
        raise SeqrlError(f"none of the {len(files)} files in {folder} can be read", next(iter(damaged.values())))
    return episodes


def join_if_any(parts: Iterator[tuple[str, Episodes]]) -> Episodes | None:
    """The episodes of some recordings; None if there is none."""
    first = next(parts, None)
    if first is None:
        return None

    def all_parts() -> Iterator[tuple[str, Episodes]]:
        yield first
        yield from parts

    return join_episodes(all_parts())


def _each(
    files: Sequence[Path],
    lengths: Mapping[str, int],
    options: ReadOptions,
    read: Callable[[Path], Episodes],
    damaged: dict[str, str],
) -> Iterator[tuple[str, Episodes]]:
    """The files that can be read; the others are noted in ``damaged``, if that is wanted."""
    for file in files:
        try:
            part = read(file)
            stated = lengths.get(file.stem, part.transitions)
            if stated != part.transitions:
                raise SeqrlError(f"{file} has {part.transitions} steps, but {LENGTHS_NAME} states {stated}")
        except SeqrlError as error:
            note_or_raise(damaged, file.name, error, options)
            continue
        yield str(file), part


def note_or_raise(damaged: dict[str, str], name: str, error: SeqrlError, options: ReadOptions) -> None:
    """Note under a name why a part cannot be read, if such parts are left out; else raise that."""
    if not options.skip_damaged:
        error.append_hint(_SKIP_HINT)
        raise error
    damaged[name] = error.message


def _of_missing(folder: Path, missing: Sequence[str]) -> str:
    many = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{folder} lacks the episode {missing[0]}{many}, which {LENGTHS_NAME} lists"


def _stated_lengths(folder: Path, files: Sequence[Path], options: ReadOptions) -> dict[str, int]:
    """The steps of episodes by the names of their files without suffix; empty if none are stated, or too many.

    Raises:
        SeqrlError: they are stated in another form.
    """
    path = folder / LENGTHS_NAME
    if not path.exists():
        return {}
    try:
        stated: Any = parse_json(read_text(path))
    except TooLargeError:
        options.log.warn(f"{LENGTHS_NAME} is too large to be compared with the files")
        return {}
    except (OSError, ValueError) as error:
        raise SeqrlError(f"cannot read {path}: {reason(error)}", "remove it, and the files themselves count") from error
    if isinstance(stated, list) and len(stated) == len(files):
        stated = {file.name: length for file, length in zip(files, stated, strict=True)}
    if not isinstance(stated, dict) or not all(type(length) is int for length in stated.values()):
        message = f"{path} does not state one length for each of the {len(files)} files in its folder"
        raise SeqrlError(message, "remove it, and the files themselves count")
    suffixes = {file.suffix for file in files}
    return {_stem(name, suffixes): length for name, length in stated.items()}


def _stem(name: str, suffixes: set[str]) -> str:
    path = PurePosixPath(name)
    return path.stem if path.suffix in suffixes else path.name
