"""What the control groups of Linux leave to this process: memory and processors of a container.

A process is in a group for each kind of resource, and each group above it may have a limit, too. In a container the
files of its own group are at the top, whatever path the process is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def free_memory(root: Path = ROOT, own: Path = OWN) -> list[int]:
    """Bytes that are free in each group that limits them; memory that only caches files counts as free.

    Args:
        root: folder of all control groups.
        own: the file that names this process's: ``0::/path`` in version 2, ``4:memory:/path`` in version 1.
    """
    found = []
    for folder, version in _groups("memory", root, own):
        most, used, cached = (
            ("memory.max", "memory.current", "inactive_file")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        with suppress(OSError, ValueError):  # no limit is "max"
            limit = int((folder / most).read_text())
            match = re.search(rf"^{cached} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
            taken = int((folder / used).read_text()) - (int(match[1]) if match else 0)
            found.append(max(limit - taken, 0))
    return found


def processors(root: Path = ROOT, own: Path = OWN) -> list[float]:
    """Processors' worth of time in each group that limits it, at most; arguments as for :func:`free_memory`."""
    found = []
    for folder, version in _groups("cpu", root, own):
        with suppress(OSError, ValueError, ZeroDivisionError):  # no limit is "max", or -1
            if version == 2:
                quota, period = map(int, (folder / "cpu.max").read_text().split())
            else:
                quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if quota > 0:
                found.append(quota / period)
    return found


def _groups(kind: str, root: Path, own: Path) -> Iterator[tuple[Path, int]]:
    """This process's group of a kind of resource and those above it, each with the version of its files."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        top = root / kind if kinds else root
        group = top / path.removeprefix("/")
        for folder in (group, *group.parents):
            yield folder, 1 if kinds else 2
            if folder == top:
                break
