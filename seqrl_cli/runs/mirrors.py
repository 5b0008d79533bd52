"""What may be fetched into a run directory, and from where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mirror:
    """A place that has a publisher's files, too.

    Attributes:
        root: URL or folder; a local folder may hold D4RL's files below their paths or all in one heap.
        source: whose files, for example ``d4rl``; None = everybody's.
    """

    root: str
    source: str | None = None


@dataclass(frozen=True)
class NetworkAccess:
    """What downloads may use.

    Attributes:
        mirrors: tried before the publisher, in this order.
        offline: use nothing but this machine's files.
    """

    mirrors: tuple[Mirror, ...] = ()
    offline: bool = False
