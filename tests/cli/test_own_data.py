"""Data of the user's own, in every format, from a path to a plan; and datasets written for other tools."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.artifacts import sources
from seqrl_cli.data.formats.d4rl import read_d4rl
from seqrl_cli.data.formats.read import read_dataset
from tests.cli.conftest import TINY_PLAN, TINY_TRAIN, assert_refused
from tests.data.files import FORMATS, KEYS, assert_equal, folder_of, write_file, write_npz
from tests.interop.hostile import live

pytestmark = pytest.mark.slow


@pytest.fixture
def hoppers(tmp_path):
    """Episodes of a hopper's sizes."""
    return read_d4rl(write_file(tmp_path / "hoppers.hdf5"))


@pytest.mark.parametrize("what", ["npz", "folder of npz", "pickle 4"])
def test_from_a_path_to_a_plan(fresh, tmp_path, hoppers, what):
    path = FORMATS[what](tmp_path, hoppers)
    told = fresh("train", path, *TINY_TRAIN, "data.env_id=Hopper-v4")
    assert told.exit_code == 0, told.output
    assert fresh("plan", *TINY_PLAN).exit_code == 0
    name = "local/a-folder" if "folder" in what else "local/a"
    (note,) = [note for note in json.loads(fresh("table", "--json").stdout)["notes"] if note.startswith(name)]
    assert note.endswith("its behaviour is scored by the rewards in the file, as if they were those of Hopper-v4")
    assert "; if the file has the rewards of that environment)" in " ".join(fresh("info", name).stdout.split())
    told = json.loads(fresh("info", name, "--json").stdout)
    assert (told["episodes"], told["attributes"]["path"]) == (4, str(path))
    assert json.loads(fresh("download", path, "--json").stdout)["fresh"] is False


def test_data_of_no_known_environment_train_with_a_warning(fresh, tmp_path, hoppers):
    told = fresh("train", FORMATS["npz"](tmp_path, hoppers), *TINY_TRAIN)
    words = " ".join(told.stderr.split())
    assert told.exit_code == 0 and "local/a does not name its environment" in words
    assert_refused(fresh("plan", *TINY_PLAN), 1, "which environment it is from", "data.env_id=")
    assert fresh("download", "local/a", "data.env_id=Hopper-v4").exit_code == 0
    assert fresh("plan", *TINY_PLAN).exit_code == 0


def test_paths_as_people_write_them(fresh, tmp_path, monkeypatch, hoppers):
    home = tmp_path / "home of mine"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    write_npz(home / "my data, v2.npz", {key: getattr(hoppers, key) for key in KEYS})
    ways = (
        "my data, v2.npz",
        "./my data, v2.npz",
        "~/my data, v2.npz",
        home / "my data, v2.npz",
        "../home of mine/my data, v2.npz",
    )
    assert {json.loads(fresh("download", way, "--json").stdout)["dataset"] for way in ways} == {"local/my-data-v2"}


def test_a_dataset_by_its_folder_in_the_run_directory(seqrl, runs):
    for way in (runs / "sim/hopper-medium", f"{runs}/sim/hopper-medium/", "sim/hopper-medium/"):
        assert json.loads(seqrl("info", way, "--json").stdout)["dataset"] == "sim/hopper-medium"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_data_that_grows_while_it_is_read(fresh, tmp_path, hoppers, monkeypatch, kind):
    path = write_file(tmp_path / "mine.hdf5") if kind == "file" else folder_of(tmp_path / "mine", hoppers)

    def grow(*words):
        if kind == "file":
            with path.open("ab") as file:
                file.write(b"more")
        else:
            shutil.copy(path / "episode 0.npz", path / "episode 99.npz")
        return read_dataset(*words)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "read_dataset", grow)
        assert_refused(fresh("download", path), 1, f"{path} changed while it was read", "try again")
    assert not list((tmp_path / "empty").rglob("dataset.h5"))
    assert fresh("download", path).exit_code == 0


def test_info_counts_what_training_refuses(fresh, tmp_path):
    observations = np.zeros((40, 11), np.float32)
    observations[7, 3], observations[9] = np.nan, np.inf
    path = write_file(tmp_path / "mine.hdf5", observations=observations, rewards=np.full(40, np.nan))
    told = fresh("info", path)
    assert told.exit_code == 0, told.output
    assert "observations 12, first at row 7, column 3; rewards 40, first at row 0" in " ".join(told.stdout.split())
    assert "no finite number" in told.stdout
    assert "NaN" not in fresh("info", path, "--json").stdout
    assert_refused(fresh("train", path, *TINY_TRAIN), 1, "observations is nan at row 7, column 3", "repair")


@pytest.mark.parametrize("command", ["download", "info", "train"])
def test_hostile_pickles(fresh, tmp_path, command):
    for what in ("os.system", "eval", "memo overwritten", "stack global"):
        program, word = live(tmp_path / "canary")[what]
        (tmp_path / "a.pkl").write_bytes(program)
        told = fresh(command, tmp_path / "a.pkl", *(TINY_TRAIN if command == "train" else ()))
        assert_refused(told, 1, f"was refused: it names '{word}'", "nothing in it was run")
        assert not (tmp_path / "canary").exists() and not list((tmp_path / "empty").rglob("dataset.h5"))


def as_d4rl_reads(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file, as D4RL's own loader takes them, and what it asserts of them."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None)
    count = len(found["observations"])
    assert found["actions"].shape[0] == count and found["rewards"].shape == found["terminals"].shape == (count,)
    return found


def test_a_dataset_for_d4rls_loader(seqrl, runs, tmp_path):
    done = json.loads(seqrl("export", "sim/hopper-medium", "-f", "d4rl", "-o", tmp_path / "out.hdf5", "--json").stdout)
    assert (done["path"], done["fresh"]) == (str(tmp_path / "out.hdf5"), True)
    found = as_d4rl_reads(tmp_path / "out.hdf5")
    types = {name: (array.dtype.name, array.shape[1:]) for name, array in found.items()}
    vectors = {"observations": ("float32", (11,)), "actions": ("float32", (3,)), "rewards": ("float32", ())}
    assert types == {**vectors, "terminals": ("bool", ()), "timeouts": ("bool", ())}
    assert_equal(read_d4rl(tmp_path / "out.hdf5"), read_d4rl(runs / "sim/hopper-medium/dataset.h5"))
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert file.attrs["env_id"] == "Hopper-v4" and "path" not in file.attrs
    again = seqrl("export", "sim/hopper-medium", "-f", "d4rl", "-o", tmp_path / "out.hdf5")
    assert again.exit_code == 0 and "already exists" in again.stderr
    (tmp_path / "into").mkdir()
    assert (
        "into/sim-hopper-medium.hdf5"
        in seqrl("export", "sim/hopper-medium", "-f", "d4rl", "-o", tmp_path / "into").stdout
    )


@pytest.mark.filterwarnings("ignore")
def test_a_dataset_for_minaris_loader(seqrl, runs, tmp_path, monkeypatch):
    told = seqrl("export", "sim/hopper-medium", "-f", "minari", "-o", tmp_path / "root")
    assert told.exit_code == 0 and "minari.load_dataset('sim/hopper-medium-v0')" in told.stdout
    episodes = read_d4rl(runs / "sim/hopper-medium/dataset.h5")
    back = json.loads(seqrl("download", tmp_path / "root/sim/hopper-medium-v0", "--json").stdout)
    assert back["dataset"] == "local/hopper-medium-v0" and back["score"] is not None
    assert_equal(read_d4rl(runs / "local/hopper-medium-v0/dataset.h5"), episodes)
    minari = pytest.importorskip("minari", reason="the package is not installed: pip install minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    loaded = minari.load_dataset("sim/hopper-medium-v0")
    assert loaded.total_steps == episodes.transitions and loaded.env_spec.id == "Hopper-v4"
    first = next(loaded.iterate_episodes())
    np.testing.assert_array_equal(first.actions, episodes.actions[: episodes.offsets[1]])


def test_exports_that_cannot_be(seqrl, runs, tmp_path):
    assert_refused(seqrl("export", "-f", "minari"), 2, "no dataset given", "seqrl export sim/hopper-medium")
    assert_refused(seqrl("export", "hoper-medium-v2", "-f", "d4rl"), 2, "unknown dataset", "hopper-medium-v2")
    assert_refused(seqrl("export", "-f", "minary"), 2, "unknown format 'minary'", "minari")
    before = sorted(runs.rglob("*"))
    dry = seqrl("export", "sim/hopper-medium", "-f", "minari", "--dry-run")
    assert dry.exit_code == 0 and sorted(runs.rglob("*")) == before
    assert seqrl("export", "sim/hopper-medium", "-f", "d4rl").exit_code == 0
    assert seqrl("download", "sim/hopper-medium", "data.transitions=1200", "--force").exit_code == 0
    assert_refused(
        seqrl("export", "sim/hopper-medium", "-f", "d4rl"), 1, "the present data of sim/hopper-medium", "--force"
    )
    assert seqrl("export", "sim/hopper-medium", "-f", "d4rl", "--force").exit_code == 0


@pytest.mark.parametrize("layout", ["d4rl", "minari"])
def test_dates_decide_nothing_about_exports(seqrl, runs, layout):
    assert seqrl("export", "sim/hopper-medium", "-f", layout).exit_code == 0
    os.utime(runs / "sim/hopper-medium/dataset.h5", (2e9, 2e9))
    again = seqrl("export", "sim/hopper-medium", "-f", layout)
    assert again.exit_code == 0 and "already exists" in again.stderr


def test_names_that_would_steer_the_terminal(fresh, tmp_path):
    """Rich's markup, escape sequences and bytes that are no UTF-8, in a file's name and in its attributes."""
    path = write_file(tmp_path / "a[bold]\x1b[31m\udcff.h5")
    with h5py.File(path, "a") as file:
        file.attrs["policy"], file.attrs["[/bold]"] = "[/red] \x1b[31m red", "x"
    for words in (("download", path), ("info", path), ("info", "local/a-bold-31m"), ("runs",)):
        told = fresh(*words)
        assert told.exit_code == 0, told.output
        assert "\x1b" not in told.output
    shown = fresh("info", path).stdout
    assert "[/red] \\x1b[31m red" in shown and "[/bold]" in shown and "a[bold]\\x1b" in shown
    np.savez(tmp_path / "b.npz", **{"\x1b[31m": np.zeros(3), "[/x]\n": np.zeros(3)})
    told = fresh("download", tmp_path / "b.npz")
    assert_refused(told, 1, "has no observations", "float arrays")
    assert "\x1b" not in told.output
