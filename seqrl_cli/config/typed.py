"""Values as text: exactly as they are typed after ``key=``, and shortened for labels."""

from __future__ import annotations

import json
from typing import Any

from seqrl_cli.files.yaml_text import parse_yaml

_OPENING, _CLOSING = "[{(", "]})"


def value_text(value: Any) -> str:
    """A value as it is typed after ``key=``: read from there, it is the same value again."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        is_plain = bool(value) and parse_yaml(value) == value and len(split_values(value)) == 1
    except ValueError:
        is_plain = False
    return value if is_plain else json.dumps(value)


def short_text(value: Any) -> str:
    """A value for a label: as it is typed, numbers with six digits at most."""
    return f"{value:g}" if isinstance(value, float) else value_text(value)


def split_values(text: str) -> tuple[str, ...]:
    """Split at commas outside of brackets and quotes: ``1e-3,[0.9,0.95]`` has two values.

    An empty text, or one with nothing between two commas, has empty values, which the caller refuses.
    """
    parts, depth, quote, start = [], 0, "", 0
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and index == start:
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return (*parts, text[start:].strip())
