"""Names of datasets, and what goes with them."""

from __future__ import annotations

import re
import subprocess
import sys

import h5py
import pytest

from seqrl_cli.data.catalogue import QUALITIES, list_datasets, resolve
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.errors import SeqrlError, UsageError
from tests.data.conftest import ragged


def test_every_dataset_resolves_to_itself():
    specs = list_datasets()
    assert len({spec.id for spec in specs}) == len(specs)
    assert all(resolve(spec.id) == spec for spec in specs)


FAMILIES = ("hopper", "halfcheetah", "walker2d", "ant")
NAMES = {
    "sim": [f"sim/{family}-{quality}" for family in FAMILIES for quality in QUALITIES],
    "gym": [f"{family}-{quality}-v2" for family in FAMILIES for quality in (*QUALITIES, "full-replay")],
    "bullet": [f"bullet-{family}-{quality}-v0" for family in FAMILIES for quality in QUALITIES],
    "antmaze": ["antmaze-umaze-v2", "antmaze-medium-play-v0", "antmaze-large-diverse-v2"],
    "maze2d": ["maze2d-umaze-v1", "maze2d-open-dense-v0", "maze2d-eval-large-v1"],
    "kitchen": [f"kitchen-{quality}-v0" for quality in ("complete", "partial", "mixed")],
    "adroit": [
        f"{task}-{quality}-v1" for task in ("pen", "door", "hammer", "relocate") for quality in ("human", "cloned")
    ],
}


@pytest.mark.parametrize("kind", NAMES)
def test_every_family_is_listed(kind):
    assert {resolve(name).id for name in NAMES[kind]} == set(NAMES[kind])


def test_facts_are_plausible():
    for spec in list_datasets():
        assert spec.env_id, spec.id
        assert (spec.reference_min is None) == (spec.reference_max is None), spec.id
        assert spec.reference_min is None or spec.reference_min < spec.reference_max, spec.id
        assert spec.stand_in is None or resolve(spec.stand_in).source == "sim", spec.id
        for file in spec.files:
            assert spec.source == "minari" or file.url.endswith(file.path), spec.id
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256), spec.id
            assert file.size is None or 1_000_000 < file.size < 1_000_000_000, spec.id
    hashes = [file.sha256 for spec in list_datasets() for file in spec.files if file.sha256]
    assert len(hashes) == len(set(hashes))


def test_d4rl():
    spec = resolve("hopper-medium-replay-v2")
    assert (spec.source, spec.family, spec.quality, spec.env_id) == ("d4rl", "hopper", "medium-replay", "Hopper-v4")
    assert spec.url == ("http://rail.eecs.berkeley.edu/datasets/offline_rl/gym_mujoco_v2/hopper_medium_replay-v2.hdf5")
    assert (spec.reference_min, spec.reference_max) == (-20.272305, 3234.3)
    assert spec.stand_in == "sim/hopper-medium-replay"
    assert spec.licence == "CC BY 4.0"
    assert spec.size == 75_854_457
    assert spec.files[0].sha256.startswith("e121c5f7")


def test_simulated():
    spec = resolve("sim/ant-expert")
    assert (spec.source, spec.env_id, spec.url, spec.stand_in) == ("sim", "Ant-v4", None, None)
    assert (spec.reference_min, spec.reference_max) == (-325.6, 3879.7)
    assert spec.observation_size == 27


def test_only_ant_and_kitchen_are_cut():
    cut = {spec.id: spec.observation_size for spec in list_datasets() if spec.observation_size}
    assert set(cut.values()) == {27, 30}
    assert all(name.removeprefix("sim/").startswith("ant-") == (size == 27) for name, size in cut.items())
    assert all(name.startswith("kitchen-") == (size == 30) for name, size in cut.items())


def test_file_that_describes_itself(tmp_path):
    path = tmp_path / "mine.hdf5"
    stated = {"env_id": "Hopper-v4", "reference_min": -20, "reference_max": 3234.3, "max_episode_steps": 500}
    write_d4rl(path, ragged(0), stated)
    spec = resolve(str(path))
    assert (spec.source, spec.path, spec.env_id, spec.max_episode_steps) == ("file", path, "Hopper-v4", 500)
    assert (spec.reference_min, spec.reference_max) == (-20.0, 3234.3)


def test_file_that_says_nothing_is_not_guessed(tmp_path):
    path = tmp_path / "without-a-suffix"
    write_d4rl(path, ragged(0), {})
    with h5py.File(path, "a") as file:
        file.attrs["env_id"] = 3
    spec = resolve(str(path))
    assert spec.source == "file"
    assert (spec.env_id, spec.reference_min, spec.reference_max, spec.family) == (None, None, None, None)


IMPOSSIBLE = {
    "equal references": (
        {"reference_min": 3.0, "reference_max": 3},
        "reference_min 3 is not below its reference_max 3",
    ),
    "references the wrong way": ({"reference_min": 4.0, "reference_max": 3.0}, "reference_min 4 is not below"),
    "a reference that is not finite": ({"reference_min": float("nan")}, "reference_min is nan, not a finite number"),
    "an endless reference": ({"reference_max": float("inf")}, "reference_max is inf, not a finite number"),
    "a reference in words": ({"reference_max": "high"}, "reference_max is 'high', not a finite number"),
    "a reference that is a flag": ({"reference_max": True}, "reference_max is True, not a finite number"),
    "no steps": ({"max_episode_steps": 0}, "max_episode_steps is 0, not a whole number above 0"),
    "negative steps": ({"max_episode_steps": -5}, "max_episode_steps is -5"),
    "half a step": ({"max_episode_steps": 0.5}, "max_episode_steps is 0.5"),
    "steps that are not a number": ({"max_episode_steps": float("nan")}, "max_episode_steps is nan"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_file_that_states_the_impossible(tmp_path, name):
    stated, match = IMPOSSIBLE[name]
    path = tmp_path / "mine.h5"
    write_d4rl(path, ragged(0), stated)
    with pytest.raises(SeqrlError, match=match) as error:
        resolve(str(path))
    assert str(path) in error.value.message and error.value.hint


@pytest.mark.parametrize("name", ["none.h5", "folder/none.hdf5"])
def test_missing_file(name):
    with pytest.raises(SeqrlError, match=f"there is no file {name}"):
        resolve(name)


@pytest.mark.parametrize(
    ("name", "near"), [("hopper-medum-v2", "hopper-medium-v2"), ("sim/hoper-expert", "sim/hopper-expert")]
)
def test_unknown_names_offer_the_nearest(name, near):
    with pytest.raises(UsageError, match=f"unknown dataset '{name}'") as error:
        resolve(name)
    assert near in error.value.hint


@pytest.mark.parametrize(
    ("name", "listing"), [("hopper", "`seqrl download --list hopper`"), ("chess", "`seqrl download --list`")]
)
def test_a_part_of_names_is_looked_up_in_the_list(name, listing):
    with pytest.raises(UsageError, match="unknown dataset") as error:
        resolve(name)
    assert listing in error.value.hint


def test_listing_needs_no_heavy_import():
    code = (
        "import sys; from seqrl_cli.data.catalogue import list_datasets; list_datasets(); "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'h5py', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
