"""What the user says about a dataset, against what it is and what it was made with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from seqrl_cli.config.sections import DataConfig
from seqrl_cli.config.value_text import value_text
from seqrl_cli.data.catalogue import DatasetSpec
from seqrl_cli.data.formats.read import content_sha256
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.hdf5 import Scalar


def refuse_other_environment(spec: DatasetSpec, env_id: str | None) -> None:
    """Raise UsageError when the named environment is not the one that a catalogue dataset is from."""
    if env_id not in (None, spec.env_id):
        raise UsageError(f"{spec.id} is data of {spec.env_id}, not of {env_id}", "leave data.env_id out")


def check_meaning_of_columns(spec: DatasetSpec, data: DataConfig, stated: Mapping[str, object] | None = None) -> None:
    """Stop when the user says something else about a dataset's columns than it was made with.

    Args:
        spec: the dataset.
        data: the user's settings of the data.
        stated: attributes of the existing dataset; None if it does not exist.

    Raises:
        UsageError: it is a dataset of the catalogue.
        SeqrlError: it was read with other settings.
    """
    for key, given in given_for_file(data).items():
        if spec.source != "file":
            raise UsageError(f"data.{key} is for files of your own, which {spec.id} is not", f"leave data.{key} out")
        if stated is not None and stated.get(key) != given:
            then, now = value_text(stated.get(key)), value_text(given)
            file = shlex.quote(str(spec.path)) if spec.path else "FILE"
            hint = f"read it again: seqrl download {file} data.{key}={now} --force"
            raise SeqrlError(f"the dataset of {spec.path or spec.id} was made with data.{key}={then}, not {now}", hint)


def given_for_file(data: DataConfig) -> dict[str, str | bool]:
    """What the user says about the columns of a file, by the key of ``data.``; stored with the dataset."""
    given = {"dones": data.dones, "reset_rows": data.reset_rows, "skip_damaged": data.skip_damaged}
    return {key: value for key, value in given.items() if value is not None}


def made_with(spec: DatasetSpec, stated: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The keys of ``data.`` that a dataset was made with: size and seed of a simulated one, the meaning of a file."""
    keys = {"sim": ("transitions", "seed"), "file": ("dones", "reset_rows", "skip_damaged")}.get(spec.source, ())
    return {key: stated[key] for key in keys if key in stated}


def check_same_file(spec: DatasetSpec, path: Path, stated: Mapping[str, object]) -> None:
    """Stop when a dataset was made from another file than the one that the user names, or the file has changed.

    Args:
        spec: the dataset, with the path that the user gave, if any.
        path: path of the dataset's file in the run directory.
        stated: the attributes of that file.

    Raises:
        SeqrlError: it was.
    """
    if spec.path is not None and stated.get("sha256") != content_sha256(spec.path):
        hint = "rename the file to keep both, or replace the old one: seqrl download FILE --force"
        raise SeqrlError(f"{path} was made from another {spec.path.name}", hint)


def check_made_with(spec: DatasetSpec, path: Path, stated: Mapping[str, object], data: DataConfig) -> None:
    """Stop when an existing dataset was made from another file, or with another meaning, size or seed.

    Args:
        spec: the dataset.
        path: path of the dataset's file in the run directory.
        stated: the attributes of that file.
        data: what the user says.

    Raises:
        UsageError: as :func:`check_meaning_of_columns`.
        SeqrlError: it was made with other settings.
    """
    check_same_file(spec, path, stated)
    check_meaning_of_columns(spec, data, stated)
    if spec.source != "sim":
        return
    asked = {"transitions": data.transitions, "seed": data.seed}
    for key, value in asked.items():
        if value is not None and key in stated and stated[key] != value:
            hint = f"leave data.{key} out, or make it again: seqrl download {spec.id} data.{key}={value} --force"
            raise SeqrlError(f"{spec.id} exists with {key} {stated[key]}, not {value}", hint)
