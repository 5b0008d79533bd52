"""The order of names that contain numbers."""

from __future__ import annotations

import re


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts ``episode-10`` after ``episode-9``, and tells ``episode-9`` from ``episode-09``."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
