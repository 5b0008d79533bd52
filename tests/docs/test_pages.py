"""What can be read off the pages: their length, their links, the files that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import seqrl_cli
from tests.docs.pages import LANGUAGES, MARKS, PAGES, ROOT, TUTORIALS, all_blocks, blocks_of

PACKAGE = Path(seqrl_cli.__file__).parent
ALL = [*PAGES, *TUTORIALS, ROOT / "CHANGELOG.md"]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub makes of a page's titles."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(" ".join(line for line in lines if not line.startswith("| ")).split()) <= 1500


@pytest.mark.parametrize("page", ALL, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", without_blocks(page)):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if fragment:
            assert fragment in anchors(there), target


def test_the_index_and_the_readme_link_every_page():
    index, readme = (ROOT / "docs" / "README.md").read_text(), (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "README.md":
            assert f"]({page.name})" in index and f"](docs/{page.name})" in readme, page.name
    for page in TUTORIALS:
        assert f"](tutorials/{page.name})" in index and f"](docs/tutorials/{page.name})" in readme, page.name


@pytest.mark.parametrize("page", [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"], ids=name)
def test_files_that_a_page_names_exist(page):
    for path in re.findall(r"`([\w./]+(?:/|\.py))`", without_blocks(page)):
        if "/" in path:
            assert (ROOT / path).exists() or (PACKAGE / path).exists(), path


def test_every_room_is_on_the_page_about_the_architecture():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    assert rooms and all(f"{room}/" in page for room in rooms)


@pytest.mark.parametrize("block", [*all_blocks(), *(b for page in TUTORIALS for b in blocks_of(page))], ids=str)
def test_every_block_says_what_it_is(block):
    assert block.language in LANGUAGES
    assert block.mark in ("", *MARKS)


def test_the_citation_file_has_what_its_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0" and citation["version"] == seqrl_cli.__version__
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= reference.keys()
    papers = set(re.findall(r"\d{4}\.\d{5}", (ROOT / "README.md").read_text()))
    assert papers == set(re.findall(r"\d{4}\.\d{5}", (ROOT / "CITATION.cff").read_text()))
