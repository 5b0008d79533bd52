"""The order of names that contain numbers."""

from __future__ import annotations

import re


def natural_order(name: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts ``episode-10`` after ``episode-9``, and tells ``episode-9`` from ``episode-09``."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]
