"""What holds for the tests themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def imported_modules(source: str) -> set[str]:
    """Every module, or name in a module, that is imported, also within functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return found


def test_modules_of_tests():
    source = "import tests.a.test_b\nfrom tests.test_c import d\ndef f():\n    from . import test_e\n"
    assert imported_modules(source) == {"tests.a.test_b", "tests.test_c.d", "..test_e"}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_module_imports_tests(path):
    """What two modules of tests share is a fixture, or lies in a module of helpers."""
    modules = imported_modules(path.read_text())
    assert not [name for name in modules if any(part.startswith("test_") for part in name.split("."))]
