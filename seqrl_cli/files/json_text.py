"""JSON that anyone may have written: bounded in its nesting and in the length of its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from seqrl_cli.files.regular import MAX_TEXT_BYTES, decode, read_text

MAX_DEPTH = 100
_MAX_DIGITS = 300  # a float has no more; a whole number of more does not fit one
_LONG_NUMBER = re.compile(f"[0-9]{{{_MAX_DIGITS + 1}}}")


class JsonError(ValueError):
    """What is wrong with the text, to follow its name in a message: ``it is nested too deeply``."""


def parse_json(text: str | bytes) -> Any:
    """Parse one JSON value. NaN and Infinity are numbers, as Python writes them.

    Raises:
        JsonError: it is not JSON, has more than 16 million characters, is nested more than a hundred levels deep, or
            has a whole number of more than 300 digits.
        TextError: it is bytes that are not text in UTF-8.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise JsonError(f"it has {len(text):,} characters, more than the {MAX_TEXT_BYTES:,} that such a text may have")
    text = decode(text) if isinstance(text, bytes) else text
    whole = _whole_number if _LONG_NUMBER.search(text) else None
    try:
        value = json.loads(text, parse_int=whole)
    except json.JSONDecodeError as error:
        raise JsonError(f"it is truncated or not JSON (line {error.lineno})") from error
    except RecursionError as error:
        raise JsonError("it is nested too deeply") from error
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_deep(value)
    return value


def read_json(path: Path, limit: int = MAX_TEXT_BYTES) -> Any:
    """Read a file that contains one JSON value.

    Raises:
        JsonError: as :func:`parse_json`.
        TextError: it is not text in UTF-8.
        OSError: it is missing, not a regular file, too large, or cannot be read.
    """
    return parse_json(read_text(path, limit))


def _whole_number(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise JsonError("it contains a number with too many digits")
    return int(digits)


def _refuse_deep(value: Any) -> None:
    """Look at one level of nesting at a time, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return
    raise JsonError("it is nested too deeply")


def _parts(value: Any) -> list[Any]:
    """The lists and objects in a list or an object."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in inner if isinstance(part, list | dict)]
