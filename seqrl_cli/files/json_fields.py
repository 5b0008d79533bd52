"""Checked fields of JSON files that anyone may have written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from seqrl_cli.files.json_text import read_json
from seqrl_cli.files.regular import NotRegularError, TooLargeError, reason


class JsonFieldError(Exception):
    """What is wrong with a file, to follow its name in a message: ``its score is missing or not a finite number``."""


def read_object(path: Path) -> dict[str, Any]:
    """Read a file that contains one JSON object.

    Raises:
        JsonFieldError: the file is missing, cannot be read, or contains something else.
    """
    try:
        values = read_json(path)
    except (NotRegularError, TooLargeError, ValueError) as error:
        raise JsonFieldError(reason(error)) from error
    except OSError as error:
        raise JsonFieldError(f"it cannot be opened ({error.strerror})") from error
    if not isinstance(values, dict):
        raise JsonFieldError("it does not contain one JSON object")
    return values


def text_field(values: Mapping[str, Any], key: str) -> str:
    """A non-empty string.

    Raises:
        JsonFieldError: it is missing or of another type.
    """
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise JsonFieldError(f"its {key} is missing or not a name")
    return value


def number_field(values: Mapping[str, Any], key: str) -> float:
    """A finite number.

    Raises:
        JsonFieldError: it is missing or of another type.
    """
    value = values.get(key)
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise JsonFieldError(f"its {key} is missing or not a finite number")
    return number


def count_field(values: Mapping[str, Any], key: str) -> int:
    """A non-negative integer.

    Raises:
        JsonFieldError: it is missing or of another type.
    """
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise JsonFieldError(f"its {key} is missing or not a whole number")
    return value


def flag_field(values: Mapping[str, Any], key: str) -> bool:
    """True or false.

    Raises:
        JsonFieldError: it is missing or of another type.
    """
    value = values.get(key)
    if not isinstance(value, bool):
        raise JsonFieldError(f"its {key} is missing, or neither true nor false")
    return value
