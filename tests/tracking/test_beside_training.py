"""A tracker that hangs neither stops nor changes the training beside it."""

from __future__ import annotations

import pytest

from seqrl_cli.tracking import process
from tests.cli.conftest import TINY_TRAIN, succeed
from tests.cli.weights import same_weights

pytestmark = pytest.mark.slow

HANGING = "tests.tracking.fakes:Hanging"


def test_a_tracker_that_hangs_changes_no_weight(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "PATIENCE", 8.0)  # time to start, and to hang
    words = ("train", "sim/hopper-medium", *TINY_TRAIN, "--threads", 1)
    succeed(tmp_path, "download", "sim/hopper-medium", "data.transitions=1500")
    succeed(tmp_path, *words, "--name", "plain")
    followed = succeed(tmp_path, *words, "--name", "followed", "--track", HANGING)
    assert "was not ready 8 s after the run had ended" in followed.stderr
    assert f"waiting at most 8 s for {HANGING} to finish" in followed.stderr
    runs = tmp_path / "sim/hopper-medium"
    assert same_weights(runs / "plain", runs / "followed")
