"""Hidden folders beside a run: what a stranger put in their place."""

from __future__ import annotations

import pytest

from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.replace import replacing


@pytest.mark.parametrize("stage", ["new", "whole", "moving", "old"])
def test_what_a_link_leads_to_is_neither_moved_nor_removed(tmp_path, stage):
    run, outside = RunFolder(tmp_path / "run"), tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "thesis.tex").write_text("mine")
    (tmp_path / f".run.{stage}").symlink_to(outside)
    with replacing(run) as new:
        new.record.write_text("{}")
    assert sorted(path.name for path in outside.iterdir()) == ["sub", "thesis.tex"]
    assert [path.name for path in run.path.iterdir()] == ["run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "run"]
