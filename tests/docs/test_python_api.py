"""The examples of docs/python-api.md, and its notebook, run in order, as they stand, and name what is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import matplotlib
import pytest

import seqrl_cli
from seqrl_cli import api
from tests.docs.pages import PAGES, ROOT, Block, blocks_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda p: p.name)
def test_examples_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if page.name == "python-api.md":
            names = {}  # whoever copies one block has what earlier ones left on disk, but none of their names
        if block.language == "python":
            exec(compile(padded(block), str(page), "exec"), names)


def padded(block: Block) -> str:
    """The block's code, with its own line numbers in tracebacks."""
    return "\n" * block.line + block.text


def test_the_page_imports_from_the_documented_place_only():
    text = (ROOT / "docs" / "python-api.md").read_text()
    assert set(re.findall(r"from (seqrl_cli\S*) import", text)) == {"seqrl_cli", "seqrl_cli.api"}


def test_every_documented_name_is_there():
    assert sorted(api.__all__) == api.__all__ and all(hasattr(api, name) for name in api.__all__)
    text = (ROOT / "docs" / "python-api.md").read_text()
    assert [name for name in seqrl_cli.__all__ if f"{name}" not in text or not hasattr(seqrl_cli, name)] == []
    functions = [name for name in api.__all__ if name.islower() and name not in ("build_decoder",)]
    assert [name for name in functions if f"`{name}" not in text] == []


NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    names: dict[str, object] = {}
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        assert cell["execution_count"] == number, "the stored outputs are of one run from top to bottom"
        exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), names)


def test_importing_the_package_imports_nothing_heavy():
    names = "[name for name in ('torch', 'gymnasium', 'numpy', 'h5py', 'typer', 'pydantic') if name in sys.modules]"
    program = f"import sys, seqrl_cli; seqrl_cli.__version__; dir(seqrl_cli); print({names})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = seqrl_cli.laod
