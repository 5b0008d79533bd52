"""Structural damage to JSON, JSON lines and YAML: texts that no writer makes, and wrong values in right places."""

from __future__ import annotations

import codecs
import json
import random
from typing import Any

import yaml

DEPTH = 3000
BOMB = "\n".join(
    ["a: &a0 [x, x, x, x, x, x, x, x, x]", *(f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))]
)

TEXTS: list[str | bytes] = [
    "",
    " ",
    "\0",
    "\n\n\n",
    "[" * DEPTH,
    "[" * DEPTH + "]" * DEPTH,
    '{"a":' * DEPTH + "1" + "}" * DEPTH,
    '{"step": ' + "[" * DEPTH + "]" * DEPTH + "}",
    "a: " + "[" * DEPTH + "]" * DEPTH,
    "a: " + "{b: " * DEPTH + "1" + "}" * DEPTH,
    "\n".join(" " * level + "a:" for level in range(DEPTH)),
    "- " * DEPTH,
    "null",
    "true",
    "1",
    "1e999",
    "NaN",
    "Infinity",
    '"text"',
    "[]",
    "{}",
    "[{}]",
    '{"a": 1, "a": 2}',
    '{"schema_version": 1' + "0" * 5000 + "}",
    "9" * 5000,
    "x" * 1_000_000,
    '{"' + "x" * 1_000_000 + '": 1}',
    '{"\\ud800": "\\udfff"}',
    '{"schema_version": 99}',
    '{"schema_version": true}',
    '{"schema_version": "2"}',
    '{"schema_version": 2, "step": 1e400}',
    b"\xff\xfe\x00\x01",
    b'{"a": "\xc3"}',
    b"\xef\xbb\xbf{}",
    codecs.BOM_UTF16_LE + '{"a": 1}'.encode("utf-16-le"),
    '{"a": 1}'.encode("utf-32"),
    BOMB,
    "a: &a [*a]",
    "a: &a {b: *a}",
    "<<: {a: 1}",
    "<<: 1",
    "? [a]\n: b",
    "? {a: b}\n: c",
    "!!python/object/apply:os.system ['true']",
    "a: !!python/name:os.system",
    "a: !!binary x",
    "a: !!int x",
    "a: !!float x",
    "a: !!timestamp x",
    "a: !!set [1]",
    "a: !!omap {1: 2}",
    "a: 2026-99-99",
    "a: 2026-02-30 25:61:61",
    "a: 190:20:30",
    "a: 0x" + "f" * 5000,
    "a: =",
    "a: 1\na: 2",
    "--- 1\n--- 2",
    "%YAML 9.9\n---\na: 1",
    "%TAG ! tag:x,2000:\n---\na: !b c",
    "\ta: 1",
    "a: *unknown",
    "1: 2",
    "null: 1",
    "true: 1",
    "a: [1, 2",
    'a: "\\x00\\e[31m"',
]

NEVER = object()
"""In place of a value: leave its key out."""

VALUES: list[Any] = [
    NEVER,
    None,
    True,
    False,
    0,
    -1,
    -(10**9),
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    10**4000,
    0.5,
    -0.0,
    1e300,
    -1e300,
    5e-324,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "x",
    "0",
    "1e400",
    "NaN",
    "x" * 100_000,
    "a/" * 5000,
    "../../etc",
    "/etc/passwd",
    ".hidden",
    "\0",
    "a\0b",
    "\n",
    "\x1b[31mred",
    "\u202eevil",
    "\ud800",
    "ünïcode 語",
    [],
    {},
    [[]],
    [None],
    [1, "x", None],
    [float("nan")] * 3,
    list(range(5000)),
    {"": ""},
    {"a": {"b": {}}},
    {"\ud800": 1},
]


def change_json(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Replace a value anywhere in a JSON text; says which by which."""
    values = json.loads(data)
    what = replace_value(values, rng)
    if rng.random() < 0.1:
        what += " and " + replace_value(values, rng)
    return what, json.dumps(values).encode()


def change_json_lines(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Replace a value of one line, or a whole line."""
    lines = data.splitlines()
    place = rng.randrange(len(lines))
    if rng.random() < 0.3:
        text = rng.choice(TEXTS)
        lines[place] = (text.encode() if isinstance(text, str) else text).replace(b"\n", b" ")
        return f"line {place} = {lines[place][:40]!r}", b"\n".join(lines) + b"\n"
    what, lines[place] = change_json(lines[place], rng)
    return f"line {place}: {what}", b"\n".join(lines) + b"\n"


def change_yaml(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Replace a value anywhere in a YAML text, or add a line to it."""
    if rng.random() < 0.3:
        text = rng.choice(TEXTS)
        return f"and {text[:40]!r}", data + (text.encode() if isinstance(text, str) else text)
    values = yaml.safe_load(data)
    what = replace_value(values, rng)
    return what, yaml.safe_dump(values, allow_unicode=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def whole_text(rng: random.Random) -> tuple[str, bytes]:
    """One of TEXTS."""
    text = rng.choice(TEXTS)
    return f"{text[:40]!r}", text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def replace_value(values: Any, rng: random.Random) -> str:
    """Replace a value below ``values`` in place, each with the same probability."""
    places = list(_places(values))
    if not places:
        return "nothing to change"
    container, key = rng.choice(places)
    value = rng.choice(VALUES)
    if value is NEVER:
        del container[key]
        return f"no {key!r}"
    if isinstance(container, dict) and rng.random() < 0.05:
        container[f"{key}x"] = value
        return f"new {key}x = {_short(value)}"
    container[key] = value
    return f"{key!r} = {_short(value)}"


def _places(values: Any) -> list[tuple[Any, Any]]:
    """Every container and key below ``values``; of long lists the first entries."""
    keys = list(values) if isinstance(values, dict) else range(min(len(values), 3)) if isinstance(values, list) else []
    found = [(values, key) for key in keys]
    return found + [place for key in keys for place in _places(values[key])]


def _short(value: Any) -> str:
    return "10**4000" if value == 10**4000 else repr(value)[:40]
