"""Numbers, durations and sizes as text, and text that is safe to print."""

from __future__ import annotations

import math
import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

# All but tab and newline; what turns the direction of writing or ends a line; and the surrogates that stand for
# undecodable bytes of a file name.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s,]+")
# A user and a password, which may contain slashes, but is no port.
_SECRET = re.compile(r"[^/@:]*:[^/@]*@|[^/@:]*:(?!\d+(/|$)).*@")
_LINE_ENDS = re.compile(r"\s*\n\s*")

MAX_CHARACTERS = 2000
"""Most characters of a warning, an error or a hint."""


def duration(seconds: float) -> str:
    """Seconds in a readable unit: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def byte_size(size: float) -> str:
    """Bytes in a readable unit: ``310 B``, ``7.8 kB``, ``62.0 MB``, ``1.2 GB``."""
    if round(size) < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB"):
        size /= 1000
        if round(size, 1) < 1000:  # as it is shown: never 1000.0 kB
            return f"{size:.1f} {unit}"
    size /= 1000
    return f"{size:,.1f} GB"


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 as people write it: ``62.5 %``."""
    return f"{100 * share:.{digits}f} %"


def rate_text(speed: float | None, unit: str) -> str:
    """``1,200 steps/s``; empty while the speed is unknown."""
    if not speed or not unit:
        return ""
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.1f} {unit}/s"


def printable(text: str) -> str:
    """The text with control characters escaped: names in foreign files must not control the terminal."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def shown_url(url: str) -> str:
    """A URL without the password that it may contain, even one with slashes."""
    scheme, mark, rest = re.split("[?#]", url)[0].partition("://")
    secret = _SECRET.match(rest)
    rest = rest[secret.end() :] if secret else rest
    place, slash, path = rest.partition("/")
    if secret or scheme in ("http", "https"):  # elsewhere a container may stand before the account
        place = place.rpartition("@")[2]
    return f"{scheme}{mark}{place}{slash}{path}".rstrip("/")


def public_words(words: Iterable[str]) -> list[str]:
    """The words of a command line as others may read them: without the passwords of URLs."""
    return [_URL.sub(lambda found: shown_url(found[0]), word) for word in words]


def typed_command(*words: str) -> str:
    """A command as a user types it, by its words after ``seqrl``; without passwords."""
    return shlex.join(["seqrl", *public_words(words)])


def one_line(text: str) -> str:
    """The printable text in one line: names in foreign files must not look like further errors or hints."""
    return printable(_LINE_ENDS.sub(" ", text.strip()))


def wrapped(text: str, width: int) -> str:
    """A line for a terminal, broken between words and indented; one that names a command stays whole to be copied."""
    if len(text) <= width or any(command in text for command in ("seqrl ", "pip ", "`")):
        return text
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def brief(text: str) -> str:
    """The text without its middle if it is very long, since it repeats somebody's huge value."""
    return text if len(text) <= MAX_CHARACTERS else f"{text[:1500]} … {text[-400:]}"


def counted(number: int, noun: str) -> str:
    """``1 episode``, ``2 episodes``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


_MAX_PLAIN = 1e12  # numbers from here on are written with an exponent
_MAX_DECIMALS = 8


def amount(value: float, digits: int = 1) -> str:
    """A measured number with some decimals, or with four significant digits if these would show nothing of it.

    ``2,125.1``, ``0.5``, ``0.0484``, ``1e-09``, ``1.234e+15``.
    """
    magnitude = abs(value)
    if 0 < magnitude < 1 or magnitude >= _MAX_PLAIN:
        return f"{value:.4g}"
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def with_error(mean: float, error: float | None) -> str:
    """A mean and its standard error with equally many decimals: ``2,125.1 ± 3.2``, ``4.7812 ± 0.0098``; None for none.

    An error below 0.1 has two significant digits.
    """
    if error is None:
        return amount(mean)
    digits = 1 - math.floor(math.log10(error)) if 0 < error < 0.1 else 1
    if digits > _MAX_DECIMALS or not max(abs(mean), error) < _MAX_PLAIN or (not error and 0 < abs(mean) < 1):
        return f"{amount(mean)} ± {amount(error)}"
    return f"{round(mean, digits) + 0.0:,.{digits}f} ± {error:,.{digits}f}"


def fact_text(value: Any, grouped: bool = True) -> str:
    """A value as people write it: ``yes``, ``1,200``, ``a, b``, ``none``, ``–`` for None."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and grouped:
        return f"{value:,}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def joined(key: Any) -> Any:
    """A fact's name as a key of JSON: ``already exists`` becomes ``already_exists``."""
    return re.sub("[ -]", "_", key) if isinstance(key, str) else key


def finite(value: Any) -> Any:
    """The value with None for NaN and infinity, which JSON cannot express."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
