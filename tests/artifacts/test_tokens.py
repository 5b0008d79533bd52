"""When tokens that are there are those of the dataset, and when they are made again."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.tokens import ensure_tokens
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.runs.store import RunStore
from tests.runs.records import make_run
from tests.workflows.tiny import Heard


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Hopper's falls, in a file that does not say so."""
    rng, rows = np.random.default_rng(0), 200
    columns = {"observations": rng.normal(size=(rows, 11)), "actions": rng.uniform(-1, 1, (rows, 3))}
    np.savez(tmp_path / "own.npz", **columns, rewards=np.ones(rows), terminals=np.arange(rows) % 20 == 19)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own.npz"


@pytest.mark.parametrize("has_runs", [False, True])
def test_tokens_follow_an_environment_that_is_named_later(file, tmp_path, has_runs):
    store = RunStore(tmp_path / "runs")
    first = ensure_tokens(locate(store, str(file)), DataConfig(bins=10), Heard())
    assert (first.env_id, first.termination_penalty) == (None, None)
    if has_runs:
        make_run(tmp_path / "runs", "local/own", "gpt-s42")
    locate(store, str(file)).ensure(DataConfig(bins=10, env_id="Hopper-v4"), Heard())
    heard = Heard()
    again = ensure_tokens(locate(store, str(file)), DataConfig(bins=10), heard)
    assert (again.env_id, again.termination_penalty) == ((None, None) if has_runs else ("Hopper-v4", -100))
    assert sum("was discretized before it was known" in warning for warning in heard.warnings) == 1
    later = Heard()
    assert ensure_tokens(locate(store, str(file)), DataConfig(bins=10), later).fingerprint == again.fingerprint
    assert len(later.warnings) == has_runs
