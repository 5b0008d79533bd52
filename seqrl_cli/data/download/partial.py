"""An unfinished download: ``<name>.part`` and, in ``<name>.part.json``, what the server said of the whole file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seqrl_cli.runs.atomic import write_json_atomic


@dataclass(frozen=True)
class Remote:
    """What a server says about a file; ``size`` is None when it does not state one."""

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What ``If-Range`` may carry: a strong ETag, else the date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def matches(self, other: Remote) -> bool:
        """Whether nothing that both state differs; two servers share no more than the size."""
        pairs: list[tuple[object, object]] = [(self.size, other.size)]
        if self.url == other.url:
            pairs += [(self.etag, other.etag), (self.modified, other.modified)]
        return all(mine is None or theirs is None or mine == theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Partial:
    """An unfinished file and the notes about where it comes from."""

    path: Path
    notes: Path

    @classmethod
    def beside(cls, destination: Path) -> Partial:
        """The unfinished form of a file."""
        name = destination.name
        return cls(destination.with_name(f"{name}.part"), destination.with_name(f"{name}.part.json"))

    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def remote(self) -> Remote | None:
        """Where the bytes that are here come from; None when there are none, or of unknown origin, or too many."""
        if not self.path.exists() or not self.notes.exists():
            return None
        try:
            remote = Remote(**json.loads(self.notes.read_text(encoding="utf-8")))
            fits = self.size() <= (remote.size or self.size())
        except (ValueError, TypeError):
            return None
        return remote if fits else None

    def describe(self, remote: Remote) -> None:
        """Note where the bytes that follow come from."""
        write_json_atomic(self.notes, asdict(remote))

    def forget(self) -> None:
        """Delete what is here."""
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
