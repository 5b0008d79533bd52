"""Values as text: exactly as they are typed after ``key=``, and shortened for labels."""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any

from seqrl_cli.files.yaml_text import parse_yaml

SHORT = reprlib.Repr()
"""Shows values that may be huge, in messages."""
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 120
SHORT.maxlevel = 2

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_OPENING, _CLOSING = "[{(", "]})"
_TOKENS = re.compile(
    r"""
    (?:(?<=^)|(?<=[,:\[{(]))\s*               # a quote opens a value only where one begins
    (?:"(?:\\.|[^"\\])*" | '(?:''|[^'])*')   # JSON's or YAML's quoted text
    | (?P<mark>[\[\]{}(),])
    """,
    re.VERBOSE | re.DOTALL,
)


def value_text(value: Any) -> str:
    """A value as it is typed after ``key=``: read from there, it is the same value again."""
    if not isinstance(value, str):
        return _quoted(value)
    try:
        is_plain = bool(value) and parse_yaml(value) == value and len(split_values(value)) == 1
    except ValueError:
        is_plain = False
    return value if is_plain else _quoted(value)


def _quoted(value: Any) -> str:
    """JSON that is YAML, too, which knows no halves of characters; so only what YAML would not print is escaped."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def short_text(value: Any) -> str:
    """A value for a label: as it is typed, numbers with six digits at most."""
    return f"{value:g}" if isinstance(value, float) else value_text(value)


def split_values(text: str) -> tuple[str, ...]:
    """Split at commas outside of brackets and quotes: ``1e-3,[0.9,0.95]`` has two values.

    An empty text, or one with nothing between two commas, has empty values, which the caller refuses.
    """
    commas, depth = [], 0
    for token in _TOKENS.finditer(text):
        mark = token["mark"] or ""
        depth += (mark in _OPENING) - (mark in _CLOSING) if mark else 0
        if mark == "," and depth <= 0:
            commas.append(token.start())
    starts, ends = [0, *(comma + 1 for comma in commas)], [*commas, len(text)]
    return tuple(text[start:end].strip() for start, end in zip(starts, ends, strict=True))


def name_of_flag(value: bool | None) -> str:
    """``on``, ``off``, or ``none`` for None: a flag as a part of a name."""
    return {None: "none", True: "on", False: "off"}[value]
