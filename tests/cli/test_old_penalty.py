"""Runs of versions that replaced the reward at every terminal by -100, also where terminals are goals."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

from tests.cli.conftest import TINY_TRAIN, invoke, succeed
from tests.cli.weights import same_weights
from tests.data.files import write_npz
from tests.data.recordings import Recording

pytestmark = pytest.mark.slow

TRAIN = ("train", "local/a", *TINY_TRAIN)
OLD = "data.termination_penalty=-100"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset whose terminals are goals, and a whole run with the penalty."""
    folder = tmp_path_factory.mktemp("old")
    recording = Recording((20,) * 6, (True,) * 6)
    path = write_npz(
        folder / "a.npz", {**recording.arrays(), "terminals": recording.last, "rewards": recording.last + 0.0}
    )
    succeed(folder / "runs", "download", path)
    succeed(folder / "runs", *TRAIN, OLD)
    return folder / "runs"


@pytest.fixture
def runs(made, tmp_path):
    """The same as an earlier version left it in the middle of training."""
    runs = shutil.copytree(made, tmp_path / "runs")
    run = runs / "local/a/gpt-s42"
    shutil.rmtree(run / "checkpoints/00000004")
    (run / "checkpoints/last").write_text("00000002")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    with h5py.File(runs / "local/a/tokens.h5", "r+") as file:
        del file.attrs["terminal_rewards"]
    return runs


def test_an_old_run_goes_on_with_its_own_tokens_and_says_so(runs, made):
    told = succeed(runs, *TRAIN).stderr
    assert "resuming from update 2" in told
    assert told.count("resumes with its old tokens, in which -100 replaces the reward at every terminal") == 1
    assert same_weights(runs / "local/a/gpt-s42", made / "local/a/gpt-s42")
    assert "termination_penalty: -100.0" in (runs / "local/a/gpt-s42/config.yaml").read_text()


def test_its_tokens_are_made_again_as_they_were_if_they_are_lost(runs, made):
    (runs / "local/a/tokens.h5").unlink()
    told = succeed(runs, *TRAIN).stderr
    assert "resuming from update 2" in told and "are replaced by -100" in told
    assert same_weights(runs / "local/a/gpt-s42", made / "local/a/gpt-s42")


def test_a_new_run_beside_it_is_told_what_its_tokens_are(runs):
    told = succeed(runs, *TRAIN, "--name", "new").stderr
    assert told.count("-100 takes the place of the rewards at 6 terminals") == 1


def test_other_tokens_in_their_place_are_named(runs):
    succeed(runs, "discretize", "local/a", "--force")
    told = invoke(runs, *TRAIN)
    assert told.exit_code == 1 and "made with termination_penalty null, not -100" in told.stderr
    with h5py.File(runs / "local/a/tokens.h5") as file:
        assert np.isnan(file.attrs.get("termination_penalty", np.nan))
