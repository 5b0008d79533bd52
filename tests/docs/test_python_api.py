"""The examples of docs/python-api.md run in order, as they stand, and name what is there."""

from __future__ import annotations

import re

import pytest

from seqrl_cli import api
from tests.docs.pages import PAGES, ROOT, Block, blocks_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda p: p.name)
def test_examples_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile(padded(block), str(page), "exec"), names)


def padded(block: Block) -> str:
    """The block's code, with its own line numbers in tracebacks."""
    return "\n" * block.line + block.text


def test_the_page_imports_from_the_documented_place_only():
    text = (ROOT / "docs" / "python-api.md").read_text()
    assert set(re.findall(r"from (seqrl_cli\S*) import", text)) == {"seqrl_cli.api"}


def test_every_documented_name_is_there():
    assert sorted(api.__all__) == api.__all__ and all(hasattr(api, name) for name in api.__all__)
    text = (ROOT / "docs" / "python-api.md").read_text()
    functions = [name for name in api.__all__ if name.islower() and name not in ("build_decoder",)]
    assert [name for name in functions if f"`{name}" not in text] == []
