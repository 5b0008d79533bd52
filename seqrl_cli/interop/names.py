"""Names of other projects' parameters, turned into ours."""

from __future__ import annotations

import re
from collections.abc import Mapping


def rename(name: str, renamed: Mapping[str, str]) -> str:
    """Our name of a parameter.

    Args:
        name: the original's.
        renamed: what stands in ours for each pattern in the original's.
    """
    for pattern, replacement in renamed.items():
        name = re.sub(pattern, replacement, name)
    return name
