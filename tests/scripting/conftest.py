"""The run directory of the workflows' tests, here as a user's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.workflows.tiny import make_runs


@pytest.fixture(scope="session")
def made_runs(made_once) -> Path:
    """Made once: a dataset of Pendulum and a tiny run of every architecture. Do not write here."""
    return made_once("workflows", make_runs)


@pytest.fixture
def runs(made_runs, tmp_path, monkeypatch) -> Path:
    """A copy that a test may change; the API finds it by itself."""
    folder = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    monkeypatch.setenv("SEQRL_RUNS", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder
