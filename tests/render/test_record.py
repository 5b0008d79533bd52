"""Recorded episodes are read whole, or refused with the file's name."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.render.record import read_record
from tests.render.recorded import write_record


@pytest.fixture
def path(tmp_path):
    return write_record(tmp_path, steps=12, horizon=4)


@pytest.mark.parametrize("suffix", [".json", ".h5"])
def test_either_file_names_the_episode(path, suffix):
    record = read_record(path.with_suffix(suffix))
    assert (record.env_id, record.dataset, record.run) == ("Hopper-v4", "sim/hopper-medium", "gpt-s42")
    assert (record.steps, record.episode, record.score) == (12, 0, 0.25)
    assert record.qpos.shape == (13, 6) and record.plan_observations.shape == (12, 4, 11)


def test_models_that_do_not_plan_have_no_plans(path):
    with h5py.File(path.with_suffix(".h5"), "a") as file:
        del file["plan_observations"]
    assert read_record(path).plan_observations is None


@pytest.mark.parametrize("content", ["", '{"score": 1', "[]", '{"hello": "world"}', '{"score": "high"}'])
def test_damaged_json_is_named(path, content):
    path.write_text(content)
    with pytest.raises(SeqrlError, match=r"episode-000\.json is truncated or not an episode"):
        read_record(path)


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_truncated_hdf5_is_named(path, keep):
    states = path.with_suffix(".h5")
    states.write_bytes(states.read_bytes()[:keep])
    with pytest.raises(SeqrlError, match=r"episode-000\.h5"):
        read_record(path)


def test_a_missing_half_is_named(path):
    path.with_suffix(".h5").unlink()
    with pytest.raises(SeqrlError, match=r"episode-000\.h5"):
        read_record(path)
    path.unlink()
    with pytest.raises(SeqrlError, match=r"episode-000\.json"):
        read_record(path)


@pytest.mark.parametrize(
    ("name", "replacement", "message"),
    [
        ("qpos", None, "has no qpos"),
        ("rewards", None, "has no rewards"),
        ("qpos", np.zeros((5, 6)), "not whole"),
        ("rewards", np.zeros((12, 2)), r"shape \(12, 2\)"),
        ("rewards", np.zeros(0), "not whole"),
        ("qpos", np.full((13, 6), np.nan), "not finite"),
        ("plan_observations", np.zeros((3, 4, 11)), "not whole"),
    ],
)
def test_foreign_contents_are_named(path, name, replacement, message):
    with h5py.File(path.with_suffix(".h5"), "a") as file:
        del file[name]
        if replacement is not None:
            file[name] = replacement
    with pytest.raises(SeqrlError, match=message):
        read_record(path)


def test_an_episode_without_an_environment_is_refused(path):
    with h5py.File(path.with_suffix(".h5"), "a") as file:
        del file.attrs["env_id"]
    with pytest.raises(SeqrlError, match="which environment"):
        read_record(path)
