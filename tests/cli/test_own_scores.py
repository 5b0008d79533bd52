"""Returns that score 0 and 100, which a user or a file states."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.conftest import assert_refused, invoke, succeed
from tests.data.files import write_raw
from tests.data.recordings import Recording

OWN = ("data.reference_min=-5", "data.reference_max=20")


@pytest.fixture
def path(tmp_path):
    recording = Recording((20,) * 6, (False,) * 6)
    write_raw(tmp_path / "a.hdf5", {**recording.arrays(), "terminals": recording.terminals, "timeouts": recording.last})
    return tmp_path / "a.hdf5"


def shown(runs):
    return json.loads(succeed(runs, "info", "local/a", "--json").stdout)


def test_the_user_tells_them_when_the_file_is_read_and_later(fresh, tmp_path, path):
    runs = tmp_path / "empty"
    succeed(runs, "download", path, *OWN)
    before = shown(runs)
    mean = before["returns"]["mean"]
    assert before["score"] == pytest.approx(100 * (mean + 5) / 25)
    text = succeed(runs, "info", "local/a").stdout
    assert "0 is a return of -5, 100 one of 20, its own references" in text and "D4RL" not in text
    told = succeed(runs, "download", "local/a", "data.reference_max=45").stderr
    assert "local/a: a return of -5 now scores 0, 45 100" in told
    assert shown(runs)["score"] == pytest.approx(100 * (mean + 5) / 50)
    assert "now scores" not in succeed(runs, "download", "local/a", "data.reference_max=45").stderr


def test_what_makes_no_scale_is_refused(fresh, path):
    assert_refused(
        fresh("download", path, "data.reference_min=0"), 2, "data.reference_max is missing", "reference_max="
    )
    words = ("data.reference_min=3", "data.reference_max=3")
    assert_refused(fresh("download", path, *words), 2, "data.reference_min=3 is not below data.reference_max=3", "")
    assert_refused(fresh("download", "sim/hopper-medium", *OWN), 2, "files of your own", "leave it out")
    assert_refused(fresh("download", path, "data.reference_min=nan"), 2, "data.reference_min", "")


@pytest.mark.slow
def test_a_file_keeps_its_own_beside_those_of_its_environment(fresh, tmp_path):
    recording = Recording((20,) * 6, (False,) * 6)
    columns = {**recording.arrays(), "terminals": recording.terminals, "timeouts": recording.last}
    columns["actions"] = columns["actions"][:, :1]
    write_raw(tmp_path / "a.hdf5", columns)
    told = fresh("download", tmp_path / "a.hdf5", "data.env_id=Pendulum-v1", *OWN)
    assert told.exit_code == 0
    stated = shown(tmp_path / "empty")["attributes"]
    assert (stated["reference_min"], stated["reference_max"], stated["env_id"]) == (-5.0, 20.0, "Pendulum-v1")


@pytest.mark.slow
def test_a_table_says_whose_references_they_are(fresh, tmp_path):
    recording = Recording((20,) * 6, (False,) * 6)
    columns = {**recording.arrays(), "terminals": recording.terminals, "timeouts": recording.last}
    columns["actions"] = columns["actions"][:, :1]
    write_raw(tmp_path / "a.hdf5", columns)
    runs = tmp_path / "empty"
    train = ("--arch", "bc", "model.n_layer=1", "model.width=16", "train.updates=2", "plan.max_steps=5")
    succeed(runs, "train", tmp_path / "a.hdf5", "data.env_id=Pendulum-v1", *OWN, *train)
    succeed(runs, "plan", "--episodes", 1)
    notes = " ".join(json.loads(succeed(runs, "table", "--json").stdout)["notes"])
    assert "local/a: 0 is a return of -5, 100 one of 20, its own references" in notes and "D4RL" not in notes


@pytest.mark.slow
def test_references_are_measured_stored_and_named(fresh, tmp_path):
    """Pendulum: a random policy earns about -1,200, and plans of before the measurement are scored, too."""
    rewards = np.full(200, -4.0)
    steps = np.arange(200)
    columns = {
        "observations": np.sin(steps[:, None] + np.arange(3)),
        "actions": np.sin(steps[:, None]),
        "rewards": rewards,
    }
    columns |= {"rewards": rewards, "terminals": np.zeros(200, bool), "timeouts": steps == 199}
    np.savez(tmp_path / "swing.npz", **columns)
    runs = tmp_path / "empty"
    succeed(runs, "download", tmp_path / "swing.npz", "data.env_id=Pendulum-v1")

    def refused(policies, code, message):
        assert_refused(invoke(runs, "download", "local/swing", "--reference", policies), code, message, "--reference")

    refused("random", 2, "not two policies")
    refused("expert,data", 2, "no expert policy")
    assert "random,expert" not in invoke(runs, "download", "local/swing", "--reference", "random,expert").stderr
    refused("data,random", 1, "is not below")
    told = succeed(runs, "download", "local/swing", "--reference", "random,data", "--reference-episodes", "3").stderr
    assert "already exists" not in told  # which sounds as if nothing were done
    stated = json.loads(succeed(runs, "info", "local/swing", "--json").stdout)
    assert stated["score"] == pytest.approx(100.0)
    attributes = stated["attributes"]
    assert -1900 < attributes["reference_min"] < -801 and attributes["reference_max"] == pytest.approx(-800)
    assert attributes["reference_min_is"].startswith("random's mean return of -1")
    text = succeed(runs, "info", "local/swing").stdout
    assert "100 the data's mean return of -800 (1 episode)" in " ".join(text.split()) and "D4RL" not in text
    succeed(runs, "download", "local/swing", "data.reference_min=-1500", "data.reference_max=-100")
    text = " ".join(succeed(runs, "info", "local/swing").stdout.split())
    assert "0 is a return of -1500, 100 one of -100, its own references" in text
