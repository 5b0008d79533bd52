"""Datasets of users' files that an earlier version read by other rules."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from tests.cli.conftest import invoke, succeed
from tests.data.files import write_npz
from tests.data.recordings import Recording

pytestmark = pytest.mark.slow


@pytest.fixture
def path(tmp_path):
    recording = Recording((20,) * 6, (False,) * 6)
    return write_npz(tmp_path / "a.npz", {**recording.arrays(), "terminals": recording.last})


def make_old(dataset, *, cut_elsewhere=True):
    """Turn a dataset into one of an earlier version, which took some ends for no ends."""
    with h5py.File(dataset, "r+") as file:
        del file.attrs["reading_rules"]
        if cut_elsewhere:
            del file.attrs["episodes_sha256"]
            file["terminals"][19] = False


@pytest.fixture
def runs(tmp_path, path):
    runs = tmp_path / "runs"
    succeed(runs, "download", path)
    return runs


def dataset(runs):
    return runs / "local/a/dataset.h5"


def episodes(runs):
    return json.loads(succeed(runs, "info", "local/a", "--json").stdout)["episodes"]


@pytest.mark.parametrize("named", ["path", "local/a"])
def test_an_old_dataset_is_read_anew_and_that_is_said_once(runs, path, named):
    make_old(dataset(runs))
    assert episodes(runs) == 5
    words = ("download", path if named == "path" else named)
    told = succeed(runs, *words).stderr
    assert (
        told.count("local/a was cut elsewhere by an earlier version and has been read anew: 5 episodes are now 6") == 1
    )
    assert episodes(runs) == 6
    assert "earlier version" not in succeed(runs, *words).stderr


def test_one_whose_episodes_are_the_same_keeps_its_time_and_nothing_is_said(runs):
    make_old(dataset(runs), cut_elsewhere=False)
    before = dataset(runs).stat().st_mtime_ns
    assert "earlier version" not in succeed(runs, "download", "local/a").stderr
    assert dataset(runs).stat().st_mtime_ns == before
    with h5py.File(dataset(runs)) as file:
        assert file.attrs["reading_rules"] and file.attrs["dataset_id"] == "local/a"


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_one_whose_file_is_not_there_any_more_is_warned_of(runs, path, change):
    make_old(dataset(runs))
    path.unlink()
    if change == "changed":
        np.savez(path, observations=np.zeros((3, 2)))
    told = succeed(runs, "discretize", "local/a").stderr
    assert told.count("warning: an earlier version") == 1 and change in told and "--force" in told
    assert episodes(runs) == 5


def test_one_that_a_run_was_trained_on_stays_until_it_is_asked_for(runs, path):
    make_old(dataset(runs))
    words = ("train", "local/a", "--arch", "bc", "model.n_layer=1", "model.width=16", "train.updates=2")
    with pytest.MonkeyPatch.context() as patch:  # as an earlier version trained
        patch.setattr("seqrl_cli.artifacts.dataset.is_old", lambda facts: False)
        succeed(runs, *words)
    told = invoke(runs, *words)
    assert told.exit_code == 0 and "already trained" in told.stderr
    assert "1 run trained on it could not be resumed" in told.stderr and episodes(runs) == 5
    succeed(runs, "download", path, "--force")
    assert episodes(runs) == 6
