"""Pickled lists of episodes, each a dictionary of arrays: the Decision Transformer's datasets, and ``torch.save``'s.

They are read by :mod:`~seqrl_cli.files.safe_pickle.read`, which never imports or calls anything. A column may be an
array, or lists of numbers and arrays; whatever else stands beside the columns is not looked at. A single dictionary
may contain flat columns, or the episodes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.checked_columns import FILE_HINT
from seqrl_cli.data.formats.column_names import NAMES, REQUIRED, ColumnNames, plain_name
from seqrl_cli.data.formats.columns import NO_STEP, ReadOptions, join_episodes, read_columns
from seqrl_cli.data.formats.plain_columns import LIST_HINT, Unpacker, kind_of, refuse_inert
from seqrl_cli.data.formats.stacked import read_table
from seqrl_cli.data.formats.steps import by_column, is_step
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import open_regular
from seqrl_cli.files.safe_pickle.machine import RefusedFileError
from seqrl_cli.files.safe_pickle.read import BoundedFile, parse_pickles
from seqrl_cli.files.safe_pickle.tensors import RECORDINGS, PlainTensor
from seqrl_cli.files.safe_pickle.torch_container import LEGACY_START, ZIP_START, read_torch_file
from seqrl_cli.files.safe_pickle.views import mapping, sequence
from seqrl_cli.files.safe_pickle.vocabulary import PlainArray, is_shape

MAX_BYTES = 16 * 2**30
MAX_INSTRUCTIONS = 20_000_000


def read_pickled_episodes(path: Path, options: ReadOptions) -> Episodes:
    """Read a pickled list of episodes, or a pickled dictionary of flat columns.

    Raises:
        SeqrlError: the file is missing or damaged, or contains other data.
        RefusedFileError: it could only be read by running code, or is too large.
    """
    try:
        return _read(path, options)
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", FILE_HINT) from error
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror or error}", "check the file") from error


def _read(path: Path, options: ReadOptions) -> Episodes:
    """The episodes of a file that ``pickle`` or ``torch.save`` wrote."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            message = f"has {size:,} bytes, more than the {MAX_BYTES:,} allowed for a pickle"
            raise RefusedFileError(str(path), message)
        start = file.read(len(LEGACY_START))
        if start.startswith((ZIP_START, LEGACY_START)):
            value = read_torch_file(path, RECORDINGS, MAX_INSTRUCTIONS).value
        else:
            file.seek(0)
            stream = BoundedFile(file, size)
            values = parse_pickles(stream, str(path), RECORDINGS, MAX_INSTRUCTIONS)
            value = values[0] if len(values) == 1 else _joined(values, str(path))
    return to_episodes(value, str(path), size, options)


def _joined(values: Sequence[Any], source: str) -> list[Any]:
    """The episodes of several dumps, each of one episode or of a list of them."""
    items: list[Any] = []
    for index, value in enumerate(values):
        several = sequence(value)
        if several is None and not _is_episode(value):
            what = f"{source} has {len(values)} pickles in a row, of which number {index} is {kind_of(value)}"
            raise SeqrlError(f"{what}, not an episode or a list of them", LIST_HINT)
        items += [value] if several is None else several
    return items


def to_episodes(value: Any, source: str, size: int, options: ReadOptions) -> Episodes:
    """Turn the plain data of the restricted reader into episodes.

    Args:
        value: a list of dictionaries, or one dictionary.
        source: name of the file in errors.
        size: bytes of the file, which limit the size of its arrays.
        options: the options of reading.

    Raises:
        SeqrlError: the value has another form.
    """
    unpack = Unpacker(source, size, options.log)
    try:
        columns = mapping(value)
        items = sequence(value) if columns is None else _episodes_in(columns)
    except ValueError as error:
        raise SeqrlError(f"{source} contains a damaged array of objects: {error}", FILE_HINT) from error
    if columns and not _is_episode(value):
        if _is_weights(columns) or any(_is_weights(mapping(part)) for part in columns.values()):
            message = f"{source} contains the weights of a model, not episodes"
            raise SeqrlError(message, "seqrl import FOLDER reads a model")
        if items is None:
            refuse_inert(value, source, "episodes")
    if columns and (unread := _unread(columns, has_list=items is not None)):
        options.log.warn(f"{unread[0]!r:.60} contains episodes that are not read; save them in a file of their own")
    if items is None and columns is not None:
        return read_table(unpack.columns(columns, source), source, options)
    if items is None:
        refuse_inert(value, source, "episodes")
        raise SeqrlError(f"{source} contains {kind_of(value)}, not a list of episodes", LIST_HINT)
    if not items:
        raise SeqrlError(f"{source} contains no episodes", FILE_HINT)
    if is_step(items[0]):
        return read_columns(unpack.columns(by_column(items, source), source), source, options)
    whole = replace(options, default_steps=None)
    return join_episodes(_each(items, source, unpack, whole))


def _episodes_in(columns: dict[str, Any]) -> Sequence[Any] | None:
    """The episodes that a dictionary holds by name, or as the one list in it, or by column; None for flat columns."""
    if not _is_episode(columns):
        if _is_episode(next(iter(columns.values()), None)):
            return list(columns.values())
        lists = [items for items in map(sequence, columns.values()) if items and _is_episode(items[0])]
        return lists[0] if len(lists) == 1 else None
    lists = [items for items in map(sequence, columns.values()) if items is not None]
    rewards = sequence(columns.get(ColumnNames.of(columns).first("rewards") or ""))
    if len(lists) < len(columns) or not rewards or len({len(items) for items in lists}) > 1:
        return None
    return (
        [dict(zip(columns, entries, strict=True)) for entries in zip(*lists, strict=True)]
        if _is_long(rewards)
        else None
    )


def _unread(columns: dict[str, Any], *, has_list: bool) -> list[str]:
    """Names of what a dictionary holds besides the columns, or the one list, that is read, and which is episodes."""
    if not _is_episode(columns) and _is_episode(next(iter(columns.values()), None)):
        return []  # all of its values are read
    found = []
    for name, part in columns.items():
        items = sequence(part) or ()
        is_list = len(items) > 0 and _is_whole(items[0])
        is_named = _is_whole(next(iter((mapping(part) or {}).values()), None))
        if is_named or _is_whole(part) or (is_list and not has_list):
            found.append(name)
    return found


def _is_whole(value: Any) -> bool:
    """Whether a dictionary has all columns of an episode."""
    return ColumnNames.of(mapping(value) or ()).by_role.keys() >= set(REQUIRED)


def _is_weights(columns: dict[str, Any] | None) -> bool:
    return bool(columns) and all(isinstance(part, PlainTensor) for part in (columns or {}).values())


def _is_episode(value: Any) -> bool:
    """Whether a dictionary has a column of an episode."""
    return not ColumnNames.of(mapping(value) or ()).by_role.keys().isdisjoint(REQUIRED)


def _is_long(rewards: Sequence[Any]) -> bool:
    """Whether the entries are arrays or lists of an episode's rewards, not one reward in an array of its own."""
    for entry in rewards:
        numbers = sequence(entry)
        if (len(numbers) if numbers is not None else _size(entry)) != 1:
            return True
    return False


def _size(value: Any) -> int:
    """How many numbers a value has."""
    if isinstance(value, PlainTensor):
        return math.prod(value.size)
    return math.prod(value.shape) if isinstance(value, PlainArray) and is_shape(value.shape) else 1


def _each(items: Sequence[Any], source: str, unpack: Unpacker, options: ReadOptions) -> Iterator[tuple[str, Episodes]]:
    for index, item in enumerate(items):
        name = f"{source}, episode {index}"
        steps = sequence(item)
        found = by_column(steps, name) if steps and is_step(steps[0]) else mapping(item)
        if found is None:
            refuse_inert(item, name, "an episode")
            raise SeqrlError(f"{name} is {kind_of(item)}, not a dictionary of arrays", LIST_HINT)
        columns = unpack.columns(found, name)
        # Next observations are not needed to find the end of the episode.
        kept = {key: column for key, column in columns.items() if plain_name(key) not in NAMES["next_observations"]}
        names = ColumnNames.of(kept)
        if all(role and kept[role].shape[:1] == (0,) for role in (names.first("actions"), names.first("rewards"))):
            options.log.warn(NO_STEP)
            continue
        yield name, read_columns(kept, name, options)
