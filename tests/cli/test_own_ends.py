"""Ends of episodes in files of the user's own, from the command line: what is read, said, stored and asked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.conftest import TINY_TRAIN, assert_refused
from tests.data.files import write_npz, write_raw
from tests.data.recordings import Recording

PLAYED = Recording((200,) * 6, (False,) * 6)
MIXED = Recording((200, 30, 200, 41, 200, 52), (False, True) * 3)


def pendulum(path, recording=PLAYED, attributes=None, **marks):
    """A file of Pendulum's sizes."""
    columns = {**recording.arrays(), **marks}
    columns["actions"] = columns["actions"][:, :1]
    if path.suffix == ".npz":
        return write_npz(path, columns)
    write_raw(path, columns)
    return path


def told(result):
    assert result.exit_code == 0, result.output
    return " ".join(result.stderr.split())


def lengths(fresh, name):
    shown = json.loads(fresh("info", name, "--json").stdout)
    return shown["episodes"], shown["lengths"]["least"], shown["lengths"]["greatest"], shown["attributes"]


@pytest.mark.slow
def test_the_environments_limit_cuts_and_a_later_one_cuts_again(fresh, tmp_path):
    path = pendulum(tmp_path / "a.hdf5", terminals=PLAYED.terminals)
    assert "no column tells of step limits" in told(fresh("download", path)) and lengths(fresh, "local/a")[0] == 2
    assert "whose limit of 200 steps" in told(fresh("download", "local/a", "data.env_id=Pendulum-v1"))
    assert lengths(fresh, "local/a")[:3] == (6, 200, 200)
    said = told(fresh("download", path, "data.env_id=Pendulum-v1", "--force"))
    assert "cut after 200 steps, as Pendulum-v1 does" in said and "warning" not in said
    assert lengths(fresh, "local/a")[3]["cut_after"] == 200


def test_names_are_said_once_and_stored(fresh, tmp_path):
    path = pendulum(tmp_path / "a.npz", terminated=PLAYED.terminals, truncated=PLAYED.truncations)
    assert "took terminated" in told(fresh("info", path))
    said = told(fresh("download", path))
    assert said.count("took terminated as terminals, truncated as timeouts") == 1
    count, *_, attributes = lengths(fresh, "local/a")
    assert count == 6 and attributes["read_as"] == "took terminated as terminals, truncated as timeouts"
    assert "took" not in told(fresh("info", "local/a"))


def test_the_user_says_what_dones_marks(fresh, tmp_path):
    path = pendulum(tmp_path / "a.npz", MIXED, dones=MIXED.last)
    assert_refused(fresh("download", path), 1, "dones may mark time limits", "data.dones=ends")
    assert "data.dones=ends" in told(fresh("info", path))
    assert fresh("download", path, "data.dones=ends").exit_code == 0
    shown = json.loads(fresh("info", "local/a", "--json").stdout)
    assert (shown["terminals"], shown["timeouts"], shown["attributes"]["dones"]) == (3, 3, "ends")
    assert_refused(fresh("download", path, "data.dones=terminals"), 1, "made with data.dones=ends", "--force")
    assert_refused(fresh("download", "sim/hopper-medium", "data.dones=ends"), 2, "files of your own", "leave")
    assert_refused(fresh("download", path, "data.dones=both"), 2, "data.dones", "")
    known = pendulum(tmp_path / "b.npz", MIXED, dones=MIXED.last)
    assert fresh("download", known, "data.env_id=Pendulum-v1").exit_code == 0


def test_episodes_longer_than_the_environment_allows(fresh, tmp_path):
    path = pendulum(tmp_path / "a.npz", terminals=PLAYED.terminals, timeouts=np.arange(1200) % 600 == 599)
    assert "2 of 2 episodes are longer than the 200 steps of Pendulum-v1" in told(
        fresh("download", path, "data.env_id=Pendulum-v1")
    )


@pytest.mark.slow
def test_a_dry_run_knows_the_environment_that_its_command_names(fresh, tmp_path):
    path = pendulum(tmp_path / "a.npz", terminals=PLAYED.terminals, timeouts=PLAYED.last)
    for existing in (False, True):
        assert "does not name" not in told(fresh("train", path, "data.env_id=Pendulum-v1", "--arch", "bc", "--dry-run"))
        assert "does not name" in told(fresh("train", path, "--arch", "bc", "--dry-run"))
        assert existing or fresh("download", path).exit_code == 0


@pytest.mark.slow
def test_a_run_keeps_what_the_user_said(fresh, tmp_path):
    path = pendulum(tmp_path / "a.npz", MIXED, dones=MIXED.last)
    assert fresh("train", path, *TINY_TRAIN, "data.dones=ends", "data.env_id=Pendulum-v1").exit_code == 0
    assert "already trained" in told(fresh("train", path, *TINY_TRAIN))
    config = next((tmp_path / "empty").rglob("config.yaml")).read_text()
    assert "dones: ends" in config
