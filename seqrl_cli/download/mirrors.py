"""Remote files, and the mirrors that may have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqrl_cli.errors import UsageError
from seqrl_cli.files.regular import user_path
from seqrl_cli.runs.mirrors import Mirror, NetworkAccess

_HINT = "separate mirrors by commas: SEQRL_MIRRORS='d4rl=https://host/offline_rl, /folder/with/files'"


@dataclass(frozen=True)
class RemoteFile:
    """One file that can be downloaded.

    Attributes:
        url: the publisher's URL.
        path: the path below a mirror's root.
        size: bytes; None if unknown.
        sha256: hexadecimal digits; None if unknown.
        alternatives: other URLs of the publisher.
    """

    url: str
    path: str
    size: int | None = None
    sha256: str | None = None
    alternatives: tuple[str, ...] = ()


def parse_mirrors(text: str, sources: Sequence[str]) -> tuple[Mirror, ...]:
    """Parse a user's mirrors: comma-separated URLs and folders, each optionally prefixed with ``source=``.

    Raises:
        UsageError: an entry has an unknown source or no place.
    """
    mirrors = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        source, sign, root = entry.partition("=")
        if not sign or "/" in source:
            mirrors.append(Mirror(entry))
            continue
        if source not in sources:
            raise UsageError(f"mirror {entry!r} is for {source!r}, which is not a source of files", _HINT)
        if not root:
            raise UsageError(f"mirror {entry!r} names no URL or folder", _HINT)
        mirrors.append(Mirror(root, source))
    return tuple(mirrors)


def locations(file: RemoteFile, source: str, network: NetworkAccess) -> list[str]:
    """URLs and paths to try for a file, in order; a local path is listed only if the file exists."""
    found: list[str] = []
    for mirror in network.mirrors:
        if mirror.source not in (None, source):
            continue
        if is_remote(mirror.root):
            found.append(f"{mirror.root.rstrip('/')}/{file.path}")
        else:
            found.extend(_in_folder(file, source, mirror.root))
    found += [file.url, *file.alternatives]
    return [place for place in dict.fromkeys(found) if not (network.offline and is_remote(place))]


def is_remote(place: str) -> bool:
    """Whether a place is on the network."""
    return place.startswith(("http://", "https://"))


def local_folder(root: str) -> Path:
    """The folder of a local mirror's root, given as a path or as ``file://…``."""
    place = url2pathname(urlsplit(root).path) if root.startswith("file://") else root
    return user_path(place)


def _in_folder(file: RemoteFile, source: str, root: str) -> list[str]:
    """The file's path in a local folder: below its own path or, as in d4rl's cache, directly in the folder.

    Only d4rl's file names are unique; every Minari dataset has a ``main_data.hdf5``.
    """
    folder = local_folder(root)
    names = (file.path, Path(file.path).name) if source == "d4rl" else (file.path,)
    return [str(folder / name) for name in names if (folder / name).is_file()][:1]
