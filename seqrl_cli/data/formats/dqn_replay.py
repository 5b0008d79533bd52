"""The published replay of DQN on Atari: gzipped arrays of NumPy, one per column and slice of a million steps.

A folder ``replay_logs`` has, for each slice N, the files ``$store$_observation_ckpt.N.gz``, ``…_action_…``,
``…_reward_…`` and ``…_terminal_…``, and others that tell nothing about episodes. Dopamine's replay buffer wrote them
(Agarwal et al. 2020, arXiv 1907.04543). A terminal ends an episode; a slice ends within one, which is then cut. Actions
are numbered among those that have an effect in the game.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import tokenize
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import FILE_HINT, CheckedColumns
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.episode_files import join_if_any, note_or_raise
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import open_regular

COLUMNS = ("observation", "action", "reward", "terminal")

_NAME = re.compile(r"\$store\$_(observation|action|reward|terminal)_ckpt\.(0|[1-9][0-9]*)\.gz")
_FOLDER = "replay_logs"
_MAX_INFLATION = 1100  # deflate packs at most 1,032 bytes into one
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_ERRORS = (
    *(OSError, EOFError, zlib.error, ValueError, TypeError),
    *(SyntaxError, tokenize.TokenError, KeyError, OverflowError),
)


def slices(folder: Path) -> dict[int, dict[str, Path]]:
    """The files of each slice by column, in the slices' order; empty if the folder has none.

    Args:
        folder: ``replay_logs``, or the folder of a training that contains it.
    """
    inner = folder / _FOLDER
    found: dict[int, dict[str, Path]] = {}
    for path in (inner if inner.is_dir() else folder).iterdir():
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[2]), {})[match[1]] = path
    return dict(sorted(found.items()))


def files(folder: Path) -> list[Path]:
    """All files of all slices, in a fixed order; empty if the folder has none."""
    return [path for columns in slices(folder).values() for _, path in sorted(columns.items())]


def read_dqn_replay(folder: Path, options: ReadOptions) -> Episodes:
    """Read all slices of a folder.

    Args:
        folder: the folder, with at least one slice.
        options: whether to leave out slices that cannot be read, and where to note that.

    Raises:
        SeqrlError: a file is missing or damaged, or no slice can be read.
    """
    damaged: dict[str, str] = {}
    parts = []
    for number, columns in slices(folder).items():
        try:
            parts.append((f"{folder}, slice {number}", _read_slice(folder, number, columns, options.log)))
        except SeqrlError as error:
            note_or_raise(damaged, f"slice {number}", error, options)
    episodes = join_if_any(iter(parts))
    if episodes is None:
        raise SeqrlError(f"no slice in {folder} can be read", next(iter(damaged.values())))
    if damaged:
        options.log.warn(f"left out {', '.join(damaged)}; the first because {next(iter(damaged.values()))}")
    options.log.remark("actions are numbered among those that have an effect in the game")
    options.log.minimal_actions = True
    return episodes


def _read_slice(folder: Path, number: int, columns: Mapping[str, Path], log: ReadingLog) -> Episodes:
    """One slice; its rows are in the order in which they were played."""
    if missing := [name for name in COLUMNS if name not in columns]:
        wanted = f"$store$_{missing[0]}_ckpt.{number}.gz"
        raise SeqrlError(f"{folder} has no {wanted}, which the other files of slice {number} need", "fetch it, too")
    arrays = {name: _read_array(columns[name]) for name in COLUMNS}
    rows = len(arrays["observation"])
    for name, array in arrays.items():
        ndim = 3 if name == "observation" else 1
        if array.ndim != ndim or len(array) != rows or array.dtype.kind not in "biuf":
            what = f"{array.dtype} of shape {array.shape}"
            message = f"{columns[name]} has {what}, which does not fit {rows:,} observations"
            raise SeqrlError(message, "fetch the files of this slice again")
    if arrays["observation"].dtype != np.uint8 or arrays["action"].dtype.kind not in "iu":
        what = f"observations of {arrays['observation'].dtype} and actions of {arrays['action'].dtype}"
        raise SeqrlError(f"{columns['observation']}: {what}, not bytes and whole numbers", FILE_HINT)
    if not np.isfinite(arrays["terminal"]).all():
        raise SeqrlError(f"{columns['terminal']} has terminals that are not finite", "fetch it again")
    files_of = {str(path): arrays[name] for name, path in columns.items() if name in arrays}
    table = CheckedColumns(files_of, f"slice {number}", True, None, log)
    actions, rewards = table.actions(str(columns["action"])), table.scalars(str(columns["reward"]))
    terminals = arrays["terminal"].astype(bool)
    return Episodes.from_flags(arrays["observation"], actions, rewards, terminals, np.zeros(rows, bool))


def _read_array(path: Path) -> NDArray[Any]:
    """One array; its header must agree with the bytes that follow, and it is no object array."""
    try:
        with open_regular(path) as packed, gzip.open(packed) as stream:
            size = os.fstat(packed.fileno()).st_size
            version = np.lib.format.read_magic(stream)
            if version not in _HEADERS:
                raise ValueError(f"it has version {version} of NumPy's format")
            shape, is_fortran, dtype = _HEADERS[version](stream)
            if dtype.hasobject:
                raise ValueError("it has objects, which could only be read by running code")
            expected = math.prod(shape) * dtype.itemsize
            if expected > _MAX_INFLATION * size:
                raise ValueError(f"it states {expected:,} bytes, which its {size:,} bytes cannot contain")
            content = stream.read(expected)
            if len(content) != expected or stream.read(1):
                raise ValueError(f"it states shape {shape} of {dtype}, but has another number of bytes")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
    except _ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SeqrlError(f"cannot read {path}: {reason}", "fetch it again") from error
