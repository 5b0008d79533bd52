"""A small run directory, and a place to push it to."""

from __future__ import annotations

import pytest

from seqrl_cli.runs.store import RunStore
from tests.runs.records import make_run
from tests.runs.syncing import train


@pytest.fixture
def store(tmp_path) -> RunStore:
    run = make_run(tmp_path / "here", "d", "r").parent
    (run.parent / "dataset.h5").write_bytes(b"data")
    (run / "config.yaml").write_text("seed: 1\n")
    for step in (1, 2):
        train(run, step)
    (run / ".lock").write_text("")
    return RunStore(tmp_path / "here")


@pytest.fixture
def url(tmp_path) -> str:
    return (tmp_path / "there").as_uri()
