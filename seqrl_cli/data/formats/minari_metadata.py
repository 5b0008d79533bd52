"""What Minari states beside the episodes: ``metadata.json``, or before Minari 0.5 the attributes of the HDF5 file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqrl_cli.data.formats.checked_columns import FILE_HINT
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hdf5 import native_attributes, open_hdf5
from seqrl_cli.files.json_text import parse_json
from seqrl_cli.files.regular import TextError, read_text, reason

MAIN, METADATA = "main_data.hdf5", "metadata.json"


def data_folder(folder: Path) -> Path | None:
    """The folder with a Minari dataset's files: ``folder`` or its ``data``; None if neither has them."""
    return next((place for place in (folder / "data", folder) if (place / METADATA).is_file() or _is_old(place)), None)


def _is_old(place: Path) -> bool:
    """Whether a folder has the single file of a dataset from before Minari 0.5; also if it cannot be opened."""
    try:
        return (place / MAIN).is_file() and "total_episodes" in _stated(place)
    except SeqrlError:
        return True


def data_files(place: Path) -> list[Path]:
    """The files of a dataset in its data folder; datasets before Minari 0.5 have no metadata beside the episodes."""
    metadata = place / METADATA
    return [metadata, place / MAIN] if metadata.is_file() else [place / MAIN]


def require_data(folder: Path) -> Path:
    """As :func:`data_folder`.

    Raises:
        SeqrlError: neither has the files.
    """
    place = data_folder(folder)
    if place is None:
        raise SeqrlError(f"{folder} is not a Minari dataset: it has no data/{METADATA}", FILE_HINT)
    return place


def read_metadata(place: Path) -> dict[str, Any]:
    """The metadata of the dataset in a data folder.

    Raises:
        SeqrlError: they are missing or damaged.
    """
    path = place / METADATA
    if not path.is_file():
        return _stated(place)
    try:
        text = read_text(path)
    except (OSError, TextError) as error:
        raise SeqrlError(f"cannot read {path}: {reason(error)}", FILE_HINT) from error
    return parse_object(text, path)


def _stated(place: Path) -> dict[str, Any]:
    """The attributes of a dataset's file, which were its metadata before Minari 0.5."""
    stated: dict[str, Any] = {}
    with open_hdf5(place / MAIN, FILE_HINT) as file:
        stated.update(native_attributes(file))
    return stated


def parse_object(text: object, source: Path) -> dict[str, Any]:
    """An object given as JSON text; empty for None."""
    if text is None:
        return {}
    try:
        value = parse_json(text) if isinstance(text, str) else text
    except ValueError as error:
        raise SeqrlError(f"{source} has metadata that is not JSON: {str(error):.80}", FILE_HINT) from error
    if not isinstance(value, dict):
        raise SeqrlError(f"{source} has metadata of type {type(value).__name__}, not an object", FILE_HINT)
    return value


def read_space(metadata: Mapping[str, Any], name: str, source: Path) -> dict[str, Any]:
    """A gymnasium space as Minari writes it; empty if the dataset leaves it to the environment."""
    return parse_object(metadata.get(name), source)
