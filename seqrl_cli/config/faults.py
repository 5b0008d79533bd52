"""Sentences from pydantic's errors."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import ValidationError

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.overrides import nearest_key
from seqrl_cli.config.value_text import SHORT
from seqrl_cli.errors import nearest


def hint_of(error: ValidationError) -> str | None:
    """The hint of the first fault of a pydantic error, if the check that found it gives one."""
    context = error.errors()[0].get("ctx", {})
    return getattr(context.get("error"), "hint", None)


def sentence(error: ValidationError, keys: Iterable[str] = ()) -> str:
    """One fault of a pydantic error as half a sentence: key, value, reason.

    Args:
        error: the error; a key that does not exist comes before all else, because it may be what is missing.
        keys: the keys that exist, of which the nearest to such a key is named.
    """
    faults = error.errors()
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    tags = (*ARCHITECTURES, "float", "int", "str")  # of a section, or of one of several types
    parts = (str(part) for part in first["loc"] if part not in tags)
    key = ".".join(part for part in parts if part.isidentifier()) or "configuration"  # without the types of a union
    reason = f"{first['msg'].removeprefix('Value error, '):.300}"
    if first["type"] == "literal_error":
        close = nearest(f"{SHORT.repr(first['input'])}".strip("'"), re.findall("'([^']+)'", first["ctx"]["expected"]))
        reason += f"; did you mean {close!r}?" if close else ""
    if first["type"] == "extra_forbidden":
        known = list(keys)
        if key in known:
            return f"{key} is not a key of this architecture"
        close = nearest_key(key, known)
        return f"there is no key {key!r}" + (f"; did you mean {close!r}?" if close else "")
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "value_error":
        return reason
    return f"{key} = {SHORT.repr(first['input'])}: {reason[0].lower()}{reason[1:]}"
