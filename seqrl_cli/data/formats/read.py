"""Read a dataset of any format by its path: HDF5, ``.npz``, pickled episodes, a folder of them, or Minari's.

The suffix determines a file's format; for an unknown suffix, the first bytes do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats import dqn_replay
from seqrl_cli.data.formats.checked_columns import FILE_HINT
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.episode_ends import settle_dones
from seqrl_cli.data.formats.episode_files import read_episode_files
from seqrl_cli.data.formats.minari import read_minari, read_minari_attributes
from seqrl_cli.data.formats.minari_metadata import data_files, data_folder
from seqrl_cli.data.formats.nested import read_any_hdf5, read_hdf5_attributes
from seqrl_cli.data.formats.npz import read_npz
from seqrl_cli.data.formats.pickled_episodes import read_pickled_episodes
from seqrl_cli.data.formats.refused_formats import is_torch_archive, refuse_known_folder, refuse_known_format
from seqrl_cli.data.formats.reset_rows import settle_reset_rows
from seqrl_cli.data.states import with_state_vectors
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hashes import file_sha256
from seqrl_cli.files.hdf5 import Scalar
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.files.regular import open_regular

_READERS = {
    ".h5": read_any_hdf5,
    ".hdf5": read_any_hdf5,
    ".npz": read_npz,
    ".pkl": read_pickled_episodes,
    ".pickle": read_pickled_episodes,
    ".pt": read_pickled_episodes,
    ".pth": read_pickled_episodes,
}
FILE_SUFFIXES = tuple(_READERS)
READING_RULES = 5
"""Version of the rules by which files of users' own become episodes: what marks an end, and what is cut.

Increment it when the same file would yield different episodes. Datasets stored before it was introduced have none.
"""
_SIGNATURES = {b"\x89HDF": ".hdf5", b"PK\x03\x04": ".npz", b"\x80": ".pkl"}
_FORMATS_HINT = f"seqrl reads files that end in {', '.join(_READERS)}, and folders of them"


def read_dataset(path: Path, options: ReadOptions | None = None) -> Episodes:
    """Read a file, or a folder with one recording per file.

    Args:
        path: the file or folder to read.
        options: the options of reading; None = everything.

    Raises:
        SeqrlError: it is missing, damaged, in another format, or contains other data.
    """
    options = options or ReadOptions()
    return settled(_read(path, options), str(path), options)


def settled(episodes: Episodes, source: str, options: ReadOptions) -> Episodes:
    """Episodes of a whole dataset, with what only all of them together can tell.

    Args:
        episodes: the episodes as their columns mark them.
        source: name of the episodes in errors.
        options: the options that they were read with.

    Raises:
        SeqrlError: what a column means is open.
    """
    episodes = settle_reset_rows(
        episodes, options.log, has_reset_rows=options.reset_rows, strict=options.finite, source=source
    )
    episodes = settle_dones(
        episodes, options.log, limit=options.step_limit, meaning=options.dones, strict=options.finite, source=source
    )
    return with_state_vectors(episodes, source)


def _read(path: Path, options: ReadOptions) -> Episodes:
    """The episodes as the file marks them, without what only all episodes together can tell."""
    if path.is_dir():
        if dqn_replay.slices(path):
            return dqn_replay.read_dqn_replay(path, options)
        return read_minari(path, options) if data_folder(path) else _read_folder(path, options)
    if path.is_file():
        refuse_known_format(path)
    return _READERS[_suffix(path)](path, options)


def read_attributes(path: Path) -> dict[str, Scalar]:
    """The attributes of an HDF5 file or Minari's metadata; empty for other formats.

    Raises:
        SeqrlError: it is missing or damaged.
    """
    if not path.exists():
        raise SeqrlError(f"there is no file {path}", "check the path; `seqrl download --list` lists the named datasets")
    if path.is_dir():
        return read_minari_attributes(path) if data_folder(path) else {}
    refuse_known_format(path)
    return read_hdf5_attributes(path) if _READERS[_suffix(path)] is read_any_hdf5 else {}


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files, as hexadecimal digits."""
    if not path.is_dir():
        return file_sha256(path)
    lines = (f"{file_sha256(file)} {file.name}\n" for file in _parts(path) if file.is_file())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def stamp(path: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and modification times of a dataset's files; they change when the data changes."""
    states = [(file.name, file.stat()) for file in _parts(path) if file.exists()]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]


def _parts(path: Path) -> list[Path]:
    """The files that make up a dataset."""
    if not path.is_dir():
        return [path]
    if parts := dqn_replay.files(path):
        return parts
    place = data_folder(path)
    return recordings(path) if place is None else data_files(place)


def recordings(folder: Path) -> list[Path]:
    """The dataset files in a folder, in natural order; hidden files are left out."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in _READERS and not path.name.startswith(".")]
    return sorted((path for path in files if not path.is_dir()), key=lambda path: natural_order(path.name))


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _READERS:
        return suffix
    try:
        with open_regular(path) as file:
            start = file.read(4)
    except FileNotFoundError:
        return ".hdf5"  # whose reader reports that the file is missing
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror or error}", FILE_HINT) from error
    for signature, known_suffix in _SIGNATURES.items():
        if start.startswith(signature):
            return ".pt" if is_torch_archive(path) else known_suffix
    raise SeqrlError(f"{path} is not a dataset: neither its name nor its content matches a known format", _FORMATS_HINT)


def _read_folder(folder: Path, options: ReadOptions) -> Episodes:
    files = recordings(folder)
    if not files:
        refuse_known_folder(folder)
        raise SeqrlError(f"{folder} contains no recordings", _FORMATS_HINT)
    _note_unread(folder, files, options)
    whole = replace(options, default_steps=None)  # the end of a file is the end of an episode
    return read_episode_files(folder, files, whole, lambda file: _read(file, whole))


def _note_unread(folder: Path, files: Sequence[Path], options: ReadOptions) -> None:
    """Warn of what is in a folder beside its recordings and might be more of them.

    Raises:
        SeqrlError: two files have the same name but for the suffix, as copies in another format do.
    """
    stems = Counter(file.stem for file in files)
    twin = next((file for file in files if stems[file.stem] > 1), None)
    if twin is not None:
        names = " and ".join(file.name for file in files if file.stem == twin.stem)
        raise SeqrlError(f"{folder} contains {names}, which may be one recording", "keep one of them, or rename one")
    known = set(files)
    others = [path for path in folder.iterdir() if path not in known and not path.name.startswith(".")]
    packed = [path.name for path in others if Path(path.stem).suffix.lower() in _READERS and not path.is_dir()]
    folders = [path.name for path in others if path.is_dir() and _has_recordings(path)]
    for unread, hint in ((packed, "unpack it"), (folders, "move its files up, or name it alone")):
        if unread:
            more = f" (and {len(unread) - 1} more like it)" if len(unread) > 1 else ""
            options.log.warn(f"{unread[0]} in {folder.name} is not read{more}; {hint}")


def _has_recordings(folder: Path) -> bool:
    """Whether a folder contains files of datasets, as far as one may look."""
    with suppress(OSError):
        return bool(recordings(folder))
    return False
