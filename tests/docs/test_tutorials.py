"""Each tutorial from its first line to its last, as a reader would type it, at a size that takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import parse, small
from tests.docs.conftest import succeed
from tests.docs.pages import TUTORIALS, Block, blocks_of, commands_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQRL_RUNS", str(tmp_path / "runs"))
    succeed(tmp_path / "runs", "download", "sim/hopper-medium", "data.transitions=1500")
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif not block.language:
            run(tmp_path / "runs", block)


def run(runs: Path, block: Block) -> None:
    """Run a block's commands, or parse those that cannot run here."""
    for command in commands_of(block):
        assert command.program == "seqrl", command
        parse(command.words)
        if not block.mark:
            result = succeed(runs, *command.words, *small(command.words), mirrors=command.mirrors)
            assert result.output, command
