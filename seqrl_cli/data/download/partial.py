"""An unfinished download: ``<name>.part``, and in ``<name>.part.json`` what the server reported about the file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seqrl_cli.files.atomic import write_json_atomic


@dataclass(frozen=True)
class Remote:
    """What a server reports about a file; ``size`` is None if it reports none."""

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What ``If-Range`` may contain: a strong ETag, else the date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def matches(self, other: Remote) -> bool:
        """Whether all facts that both report agree; across servers, only the size is comparable."""
        pairs: list[tuple[object, object]] = [(self.size, other.size)]
        if self.url == other.url:
            pairs += [(self.etag, other.etag), (self.modified, other.modified)]
        return all(mine is None or theirs is None or mine == theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Partial:
    """An unfinished file and the notes about its origin."""

    path: Path
    notes: Path

    @classmethod
    def beside(cls, destination: Path) -> Partial:
        """The unfinished form of a file."""
        name = destination.name
        return cls(destination.with_name(f"{name}.part"), destination.with_name(f"{name}.part.json"))

    def size(self) -> int:
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def remote(self) -> Remote | None:
        """Origin of the bytes received so far; None if there are none, too many, or their origin is unknown."""
        if not self.path.exists() or not self.notes.exists():
            return None
        try:
            remote = Remote(**json.loads(self.notes.read_text(encoding="utf-8")))
            fits = self.size() <= (remote.size or self.size())
        except (ValueError, TypeError):
            return None
        return remote if fits else None

    def describe(self, remote: Remote) -> None:
        """Record the origin of the bytes that follow."""
        write_json_atomic(self.notes, asdict(remote))

    def forget(self) -> None:
        """Delete the bytes and the notes."""
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
