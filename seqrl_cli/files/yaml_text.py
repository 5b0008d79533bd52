"""YAML that anyone may have written: plain values, without aliases, and bounded in size and nesting.

Numbers and dates are read as in YAML 1.2, because PyYAML's YAML 1.1 surprises: ``1e3`` is a number, ``010`` is ten, and
``1:30`` and dates are texts. ``yes``, ``no``, ``on`` and ``off`` are flags, as in YAML 1.1. A key that occurs twice is
an error.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import read_text, reason

MAX_YAML_BYTES = 2**16  # read in two seconds at most
MAX_DEPTH = 50
_MAX_DIGITS = 300

_INT, _FLOAT, _TIMESTAMP = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))
_NUMBERS = {
    _INT: re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$"),
    _FLOAT: re.compile(
        r"([-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+|[-+]?[0-9][0-9_]*\.[0-9_]*|[-+]?\.[0-9][0-9_]*([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
}


class YamlError(ValueError):
    """What is wrong with the text, to follow its name in a message: ``line 3: the key seed occurs twice``."""


class _Loader(yaml.SafeLoader):
    """Plain values only."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Read a node and what it contains; refuses aliases, tags and depth."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(f"{_line(event.start_mark)}: aliases are not allowed")
        if event.tag not in (None, "!"):  # what a tag makes of a value is no plain value, or no news
            raise YamlError(
                f"{_line(event.start_mark)}: tags such as {event.tag.rpartition(':')[2]:.40} are not allowed"
            )
        if self.depth >= MAX_DEPTH:
            raise YamlError("it is nested too deeply")
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Make a mapping; refuses a key that occurs twice."""
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen:
                raise YamlError(f"{_line(key.start_mark)}: the key {name:.80} occurs twice")
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Make a number as YAML 1.2 reads it; refuses hundreds of digits."""
        if len(node.value) > _MAX_DIGITS:
            raise YamlError(f"{_line(node.start_mark)}: a number with too many digits")
        digits = node.value.replace("_", "").lower()
        if node.tag == _FLOAT:
            return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
        sign, digits = (-1 if digits[0] == "-" else 1), digits.lstrip("+-")
        bases = {"0b": 2, "0x": 16, "0o": 8}
        return sign * int(digits, bases.get(digits[:2], 10))


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that the loader would take for something else."""


for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag not in (_INT, _FLOAT, _TIMESTAMP)]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for _tag, _pattern in _NUMBERS.items():
        _class.add_implicit_resolver(_tag, _pattern, list("-+0123456789."))
for _tag in _NUMBERS:
    _Loader.add_constructor(_tag, _Loader.construct_number)


def parse_yaml(text: str) -> Any:
    """Parse one YAML document of plain values.

    Raises:
        YamlError: it is not YAML, or has aliases, a key twice, or too many characters, levels or digits.
    """
    if len(text) > MAX_YAML_BYTES:
        raise YamlError(f"it has {len(text):,} characters, more than the {MAX_YAML_BYTES:,} that such a text may have")
    try:
        return yaml.load(text, _Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        raise YamlError(_sentence(error)) from error
    except yaml.reader.ReaderError as error:
        raise YamlError(f"it contains the control character U+{error.character:04X}") from error
    except RecursionError as error:
        raise YamlError("it is nested too deeply") from error
    except YamlError:
        raise
    except ValueError as error:  # for example a lone 0x_
        raise YamlError(f"it cannot be read ({str(error):.80})") from error


def read_yaml_file(path: Path) -> Any:
    """Read a YAML file of plain values.

    Raises:
        YamlError: as :func:`parse_yaml`.
        TextError: it is not text in UTF-8.
        OSError: it is missing, not a regular file, too large, or cannot be read.
    """
    return parse_yaml(read_text(path, MAX_YAML_BYTES))


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        SeqrlError: the file is missing, not YAML, or not a mapping.
    """
    try:
        content = read_yaml_file(path)
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", "check the name, and that the folder is complete") from error
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as YAML: {reason(error)}"
        raise SeqrlError(message, "correct the file, or restore it") from error
    if content is None:
        raise SeqrlError(f"{path} is empty", "write keys with values into it, or restore it")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        message = f"{path} contains {kind}, not keys with values"
        raise SeqrlError(message, "correct the file, or restore it")
    return content


def dump_yaml(value: Any, **options: Any) -> str:
    """Plain values as YAML that :func:`parse_yaml` reads as the same values; the options are PyYAML's."""
    text: str = yaml.dump(value, Dumper=_Dumper, **{"sort_keys": False, "allow_unicode": True, **options})
    return text


def read_package_yaml(path: Path) -> Any:
    """Read a YAML file that this package ships; with libyaml if available, because shell completion waits for it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506


def _sentence(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "it is not YAML"
    if problem.startswith("but ") and error.context:
        problem = f"{error.context}, {problem}"
    if "'\\t'" in problem:
        problem = "a tab, where YAML wants spaces"
    return f"{_line(mark)}: {problem}" if mark else problem


def _line(mark: Any) -> str:
    """The line of one of PyYAML's marks."""
    return f"line {mark.line + 1}"
