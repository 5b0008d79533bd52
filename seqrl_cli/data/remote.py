"""Where files come from: what is known of each, and the mirrors that may have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqrl_cli.errors import UsageError

_HINT = "separate mirrors by commas: SEQRL_MIRRORS='d4rl=https://host/offline_rl, /folder/with/files'"


@dataclass(frozen=True)
class RemoteFile:
    """One file that can be fetched.

    Attributes:
        url: where its publisher has it.
        path: where a mirror has it, below the mirror's root.
        size: bytes; None where nobody has stated them.
        sha256: hexadecimal digits; None where nobody has stated them.
        alternatives: other URLs of the publisher's own.
    """

    url: str
    path: str
    size: int | None = None
    sha256: str | None = None
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mirror:
    """A place that has a publisher's files, too.

    Attributes:
        root: URL or folder; a local folder may hold the files below their paths or all in one heap.
        source: whose files, for example ``d4rl``; None = everybody's.
    """

    root: str
    source: str | None = None


@dataclass(frozen=True)
class Network:
    """What downloads may use.

    Attributes:
        mirrors: tried before the publisher, in this order.
        offline: use nothing but this machine's files.
    """

    mirrors: tuple[Mirror, ...] = ()
    offline: bool = False


def parse_mirrors(text: str, sources: Sequence[str]) -> tuple[Mirror, ...]:
    """Mirrors out of what a user wrote: URLs and folders separated by commas, each perhaps after ``source=``.

    Raises:
        UsageError: an unknown source, or one without a place.
    """
    mirrors = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        source, sign, root = entry.partition("=")
        if not sign or "/" in source:
            mirrors.append(Mirror(entry))
            continue
        if source not in sources:
            raise UsageError(f"mirror {entry!r} is for {source!r}, which is no source of files", _HINT)
        if not root:
            raise UsageError(f"mirror {entry!r} names no place", _HINT)
        mirrors.append(Mirror(root, source))
    return tuple(mirrors)


def locations(file: RemoteFile, source: str, network: Network) -> list[str]:
    """URLs and paths to try for a file, in this order; a local path is listed only if the file is there."""
    found: list[str] = []
    for mirror in network.mirrors:
        if mirror.source not in (None, source):
            continue
        if is_remote(mirror.root):
            found.append(f"{mirror.root.rstrip('/')}/{file.path}")
        else:
            found.extend(_in_folder(file, mirror.root))
    found += [file.url, *file.alternatives]
    return [place for place in dict.fromkeys(found) if not (network.offline and is_remote(place))]


def is_remote(place: str) -> bool:
    """Whether a place is on the network."""
    return place.startswith(("http://", "https://"))


def _in_folder(file: RemoteFile, root: str) -> list[str]:
    """The file's path in a local folder, below its own path or directly in it, as d4rl's cache has it."""
    place = url2pathname(urlsplit(root).path) if root.startswith("file://") else root
    folder = Path(place).expanduser()
    candidates = (folder / file.path, folder / Path(file.path).name)
    return [str(path) for path in candidates if path.is_file()][:1]
