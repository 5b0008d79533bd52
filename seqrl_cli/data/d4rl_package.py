"""The list of datasets inside the ``d4rl`` package, read without importing or running the package.

Importing d4rl needs gym and the MuJoCo binaries of 2021. Its ``infos.py`` consists of three tables and a few loops that
add to them. These few kinds of statement are evaluated here on the syntax tree; anything else is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seqrl_cli.data.catalogue import DatasetSpec
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import read_text

_HINT = "seqrl does not need the package: pip uninstall d4rl, or install version 1.1"
_MAX_STEPS = 100_000


@dataclass(frozen=True)
class D4rlList:
    """D4RL's tables, by dataset name."""

    urls: dict[str, str]
    reference_min: dict[str, float]
    reference_max: dict[str, float]


def installed_list() -> Path | None:
    """The ``infos.py`` of the installed package; None if the package is not installed."""
    spec = find_spec("d4rl")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "infos.py"
    return path if path.is_file() else None


def read_list(path: Path) -> D4rlList:
    """Read an ``infos.py``.

    Raises:
        SeqrlError: it cannot be read, or contains more than tables and loops that fill them.
    """
    reader = _Reader()
    try:
        for statement in ast.parse(read_text(path)).body:
            reader.execute(statement)
        tables = [reader.names[name] for name in ("DATASET_URLS", "REF_MIN_SCORE", "REF_MAX_SCORE")]
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise SeqrlError(f"cannot read D4RL's list {path}: {error}", _HINT) from error
    return D4rlList(*tables)


def disagreements(path: Path, specs: Iterable[DatasetSpec]) -> list[str]:
    """Names of D4RL's datasets whose URL or reference scores differ between an ``infos.py`` and our catalogue.

    Raises:
        SeqrlError: as :func:`read_list`.
    """
    theirs = read_list(path)
    return [
        spec.id
        for spec in specs
        if spec.source == "d4rl"
        and (spec.url, spec.reference_min, spec.reference_max)
        != (theirs.urls.get(spec.id), theirs.reference_min.get(spec.id), theirs.reference_max.get(spec.id))
    ]


class _Reader:
    """Evaluates assignments, loops over lists, ``+``, ``%``, subscripts and ``str.replace``; nothing else."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self._steps = 0

    def execute(self, statement: ast.stmt) -> None:
        """Execute a statement; raises ValueError if it is of another kind."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise ValueError("it takes too many steps")
        match statement:
            case ast.Expr(ast.Constant()):
                pass
            case ast.Assign([ast.Name(name)], value):
                self.names[name] = self.value(value)
            case ast.Assign([ast.Subscript(ast.Name(name), key)], value):
                self.names[name][self.value(key)] = self.value(value)
            case ast.For(ast.Name(name), items, body, []):
                for item in self.value(items):
                    self.names[name] = item
                    for inner in body:
                        self.execute(inner)
            case _:
                raise ValueError(f"line {statement.lineno} is neither a table nor a loop that fills one")

    def value(self, node: ast.expr) -> Any:
        """The value of an expression; raises ValueError if it is of another kind."""
        match node:
            case ast.Constant(value) if isinstance(value, str | int | float):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(value)) if isinstance(value, int | float):
                return -value
            case ast.Name(name):
                return self.names[name]
            case ast.List(items):
                return [self.value(item) for item in items]
            case ast.Dict(keys, values) if None not in keys:
                return {self.value(key): self.value(item) for key, item in zip(keys, values, strict=True) if key}
            case ast.Subscript(table, key):
                return self.value(table)[self.value(key)]
            case ast.BinOp(left, ast.Add() | ast.Mod() as operator, right):
                return _join(self.value(left), self.value(right), operator)
            case ast.Call(ast.Attribute(text, "replace"), [old, new], []):
                return _text(self.value(text)).replace(_text(self.value(old)), _text(self.value(new)))
        raise ValueError(f"line {node.lineno} contains an expression that no table needs")


def _join(left: Any, right: Any, operator: ast.operator) -> str:
    """``left + right``, or ``left % right`` with exactly one ``%s``, for two short strings."""
    if isinstance(operator, ast.Add):
        return _text(left) + _text(right)
    if _text(left).count("%") != 1 or "%s" not in left:
        raise ValueError("it formats with more than one %s")
    return _text(left).replace("%s", _text(right))


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise ValueError("it joins a value that is not a short string")
    return value
