"""An unfinished download: ``<name>.part``, and in ``<name>.part.json`` what the server reported about the file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from io import FileIO
from pathlib import Path
from typing import Any

from seqrl_cli.files.atomic import write_json_atomic
from seqrl_cli.files.json_text import read_json

_MAX_NOTES = 1 << 16
_SETTLED = timedelta(seconds=60)
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]+"')


@dataclass(frozen=True)
class Origin:
    """What a server reports about a file, by which a partial download is continued only if it is still the same.

    Attributes:
        url: the URL that was asked for.
        size: bytes; None if it reports none.
        etag: the ETag header, if any.
        modified: the Last-Modified header, if any.
        date: the Date header, if any.
        resource: the URL that redirects led to, without the query, which often is a signature of the day.
    """

    url: str
    size: int | None
    etag: str | None
    modified: str | None
    date: str | None = None
    resource: str | None = None

    @property
    def validator(self) -> str | None:
        """What ``If-Range`` may contain: a strong ETag, else a date that is strong (RFC 9110, sections 8.8 and 13.1.5).

        Dates count seconds. One that was a minute old when the file was sent cannot also be that of another content.
        """
        if self.etag and _STRONG_ETAG.fullmatch(self.etag):
            return self.etag
        modified, date = _parse_date(self.modified), _parse_date(self.date)
        return self.modified if modified and date and date - modified >= _SETTLED else None

    def matches(self, other: Origin) -> bool:
        """Whether no fact that both report differs; across servers, only the size is comparable."""
        pairs: list[tuple[object, object]] = [(self.size, other.size)]
        if self.url == other.url:
            pairs += [(self.etag, other.etag), (self.modified, other.modified)]
        return all(mine is None or theirs is None or mine == theirs for mine, theirs in pairs)

    def is_proven_by(self, other: Origin) -> bool:
        """Whether a later answer is certainly about the same content: the same place sends the same validator."""
        if (self.url, self.resource) != (other.url, other.resource) or not self.matches(other):
            return False
        return self.validator is not None and self.validator in (other.etag, other.modified)


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
        """Bytes received so far; 0 if what has the file's name is not a file of our own."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return 0
        return status.st_size if _is_own_file(status) else 0

    def origin(self) -> Origin | None:
        """Origin of the bytes received so far; None if there are none, too many, or their origin is unknown."""
        if not self.size():
            return None
        try:
            origin = Origin(**read_json(self.notes, _MAX_NOTES))
        except (OSError, ValueError, TypeError):
            return None
        texts = (origin.etag, origin.modified, origin.date, origin.resource)
        is_sound = isinstance(origin.url, str) and all(text is None or isinstance(text, str) for text in texts)
        if not is_sound or not (origin.size is None or type(origin.size) is int):
            return None
        return origin if origin.size is None or self.size() <= origin.size else None

    def describe(self, origin: Origin) -> None:
        """Record the origin of the bytes that follow, in place of whatever has the file's name."""
        with suppress(OSError):  # it is missing, or cannot be replaced, which writing tells
            if not stat.S_ISREG(self.notes.lstat().st_mode):
                self.notes.unlink()
        write_json_atomic(self.notes, asdict(origin))

    @contextmanager
    def open(self, start: int) -> Iterator[FileIO]:
        """Open the file to continue it at byte ``start``; 0 begins a new file.

        Nothing is written through a link or into a device. Unbuffered, so that a killed process loses no received byte.
        """
        if not start:
            self.path.unlink(missing_ok=True)
        flags = os.O_NOFOLLOW | os.O_NONBLOCK | (0 if start else os.O_CREAT | os.O_EXCL)
        with open(self.path, "r+b" if start else "wb", buffering=0, opener=_opener(flags)) as file:
            if not _is_own_file(os.fstat(file.fileno())):
                raise FileExistsError(f"{self.path} is not a plain file, or has another name (a hard link)")
            file.seek(start)
            file.truncate()
            yield file

    def forget(self) -> None:
        """Delete the bytes and the notes."""
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def _is_own_file(status: os.stat_result) -> bool:
    """Whether this is a regular file that has no other name, through which it could be somebody's other file."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _opener(flags: int) -> Any:
    return lambda path, mode: os.open(path, mode & ~os.O_TRUNC | flags, 0o666)


def _parse_date(text: str | None) -> datetime | None:
    """An HTTP date; None if the text is none, or has no time zone."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date if date.tzinfo else None
