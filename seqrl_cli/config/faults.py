"""Sentences from pydantic's errors."""

from __future__ import annotations

import re

from pydantic import ValidationError

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.value_text import SHORT
from seqrl_cli.errors import nearest


def hint_of(error: ValidationError) -> str | None:
    """The hint of the first fault of a pydantic error, if the check that found it gives one."""
    context = error.errors()[0].get("ctx", {})
    return getattr(context.get("error"), "hint", None)


def sentence(error: ValidationError) -> str:
    """The first fault of a pydantic error as half a sentence: key, value, reason."""
    first = error.errors()[0]
    tags = (*ARCHITECTURES, "float", "int", "str")  # of a section, or of one of several types
    parts = (str(part) for part in first["loc"] if part not in tags)
    key = ".".join(part for part in parts if part.isidentifier()) or "configuration"  # without the types of a union
    reason = f"{first['msg'].removeprefix('Value error, '):.300}"
    if first["type"] == "literal_error":
        close = nearest(f"{SHORT.repr(first['input'])}".strip("'"), re.findall("'([^']+)'", first["ctx"]["expected"]))
        reason += f"; did you mean {close!r}?" if close else ""
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "value_error":
        return reason
    return f"{key} = {SHORT.repr(first['input'])}: {reason[0].lower()}{reason[1:]}"
