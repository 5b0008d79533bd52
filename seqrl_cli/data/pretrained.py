"""Checkpoints published by the original projects: ``pretrained/<project>/<dataset>``."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from seqrl_cli.config.resources import presets_folder, read_package_mapping
from seqrl_cli.download.mirrors import RemoteFile, is_remote, local_folder
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.archives import ARCHIVE_ERRORS
from seqrl_cli.files.atomic import atomic_path
from seqrl_cli.files.regular import open_regular
from seqrl_cli.runs.mirrors import NetworkAccess

PREFIX = "pretrained/"

_LARGEST_FILE = 500_000_000
_BLOCK = 1 << 20  # bytes
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Pretrained:
    """One published checkpoint.

    Attributes:
        id: id that the user types.
        project: the project that published it.
        dataset: the dataset that it was trained on.
        files: the files to download; a single archive if ``folder`` is given.
        folder: the checkpoint's folder in the archive; None if the files are the checkpoint itself.
        has_bins: whether it includes bin edges; otherwise they are computed from the dataset.
        licence: licence of the weights.
    """

    id: str
    project: str
    dataset: str
    files: tuple[RemoteFile, ...]
    folder: str | None
    has_bins: bool
    licence: str


@cache
def pretrained_checkpoints() -> dict[str, Pretrained]:
    """Every published checkpoint, by id."""
    facts = read_package_mapping(presets_folder() / "datasets" / "pretrained.yaml")
    found: list[Pretrained] = []
    for project, about in facts["archives"].items():
        file = RemoteFile(about["url"], about["path"])
        for family in about["families"]:
            for quality in about["qualities"]:
                dataset = f"{family}-{quality}-v2"
                folder = about["folder"].format(dataset=dataset)
                name = f"{PREFIX}{project}/{dataset}"
                found.append(Pretrained(name, project, dataset, (file,), folder, False, facts["licence"]))
    for project, about in facts["folders"].items():
        for dataset, folder in about["datasets"].items():
            files = tuple(
                RemoteFile(f"{about['base']}/{folder}/{name}", f"{project}/{folder}/{name}") for name in about["files"]
            )
            name = f"{PREFIX}{project}/{dataset}"
            found.append(Pretrained(name, project, dataset, files, None, True, facts["licence"]))
    return {checkpoint.id: checkpoint for checkpoint in found}


def unpacked_folder(checkpoint: Pretrained, network: NetworkAccess) -> Path | None:
    """The checkpoint's folder in a local mirror that contains the unpacked archive; None if there is none."""
    if checkpoint.folder is None:
        return None
    for mirror in network.mirrors:
        if is_remote(mirror.root) or mirror.source not in (None, "pretrained"):
            continue
        place = local_folder(mirror.root)
        for root in (place, place / checkpoint.project):
            if (root / checkpoint.folder).is_dir():
                return root / checkpoint.folder
    return None


def unpack(archive: Path, folder: str, destination: Path) -> None:
    """Extract the files of one folder from an archive; subfolders and names that lead elsewhere are skipped.

    Raises:
        SeqrlError: the archive is damaged, has no such folder, or contains files that are too large.
    """
    hint = "repeat the command to download it again, or import the checkpoint's folder: seqrl import FOLDER"
    try:
        with open_regular(archive) as file, zipfile.ZipFile(file) as content:
            members = list(_members(content, folder))
            if not members:
                raise SeqrlError(f"{archive} has no folder {folder}", hint)
            for name, member in members:
                if member.file_size > _LARGEST_FILE:
                    raise SeqrlError(
                        f"{member.filename} in {archive} has {member.file_size:,} bytes, too many for a checkpoint",
                        hint,
                    )
                with (
                    atomic_path(destination / name) as temporary,
                    content.open(member) as source,
                    temporary.open("wb") as target,
                ):
                    shutil.copyfileobj(source, target, _BLOCK)
    except ARCHIVE_ERRORS as error:
        raise SeqrlError(f"cannot unpack {archive}: {error}", hint) from error


def _members(content: zipfile.ZipFile, folder: str) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The files directly in a folder, wherever it is in the archive, with their names."""
    for member in content.infolist():
        path, _, name = member.filename.rpartition("/")
        if (path == folder or path.endswith(f"/{folder}")) and _PLAIN_NAME.fullmatch(name) and not member.is_dir():
            yield name, member
