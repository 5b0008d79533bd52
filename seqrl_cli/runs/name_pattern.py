"""Which names a pattern of ``seqrl runs`` or ``seqrl download --list`` means."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(name: str, pattern: str | None) -> bool:
    """Whether a name fits a pattern with ``*``, ``?`` and ``[…]``, or contains one without; case matters."""
    wild = pattern is not None and any(mark in pattern for mark in "*?[")
    return fnmatchcase(name, str(pattern)) if wild else (pattern or "") in name
