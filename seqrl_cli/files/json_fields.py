"""Checked fields of JSON files that anyone may have written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class JsonFieldError(Exception):
    """What is wrong with a file, to follow its name in a message: ``its score is missing or not a finite number``."""


def read_object(path: Path) -> dict[str, Any]:
    """Read a file that contains one JSON object.

    Raises:
        JsonFieldError: the file is missing, cannot be read, or contains something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JsonFieldError(f"it cannot be opened ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise JsonFieldError("it is not text") from error
    except json.JSONDecodeError as error:
        raise JsonFieldError(f"it is truncated or not JSON (line {error.lineno})") from error
    except RecursionError as error:
        raise JsonFieldError("it is nested too deeply") from error
    except ValueError as error:
        raise JsonFieldError("it contains a number with too many digits") from error
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
