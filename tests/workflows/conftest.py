"""A run directory that the tests of the set-up share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.finetune_online import players
from tests.workflows.tiny import NAME, make_runs


@pytest.fixture(scope="session")
def made_store(made_once) -> RunStore:
    """Made once: a dataset and a tiny run of every architecture. Do not write here."""
    return RunStore(made_once("workflows", make_runs))


@pytest.fixture
def store(made_store, tmp_path) -> RunStore:
    """A copy of ``made_store`` that a test may change."""
    return RunStore(Path(shutil.copytree(made_store.root, tmp_path / "runs")))


@pytest.fixture
def gpt(store) -> RunFolder:
    """The gpt of the copy."""
    return store.dataset(NAME).run("gpt-s42")


@pytest.fixture
def odt(store) -> RunFolder:
    """The odt of the copy."""
    return store.dataset(NAME).run("odt-s42")


@pytest.fixture
def one_process(monkeypatch) -> None:
    """Fine-tuning plays in this process, which takes no time to start."""
    monkeypatch.setattr(players, "SubprocessBackend", lambda spec, **_: InProcessBackend(spec))
