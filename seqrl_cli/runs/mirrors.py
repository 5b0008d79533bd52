"""Where downloads into a run directory may come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mirror:
    """A place that also has a publisher's files.

    Attributes:
        root: URL or folder; a folder may keep the publisher's paths or, for D4RL, contain all files without subfolders.
        source: the publisher whose files it has, for example ``d4rl``; None = every publisher.
    """

    root: str
    source: str | None = None


@dataclass(frozen=True)
class NetworkAccess:
    """Where downloads may come from.

    Attributes:
        mirrors: the mirrors, tried in this order, before the publisher.
        offline: use only files on this machine.
    """

    mirrors: tuple[Mirror, ...] = ()
    offline: bool = False
