"""HDF5 files with a group or a set of arrays per episode are read whole; other formats are named for what they are."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_attributes, read_dataset
from seqrl_cli.errors import SeqrlError

STEPS, SIZES = 20, (5, 2)


def rows(seed: int, more: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "observations": rng.normal(size=(STEPS + more, SIZES[0])).astype(np.float32),
        "actions": rng.uniform(-1, 1, size=(STEPS, SIZES[1])).astype(np.float32),
        "rewards": rng.normal(size=STEPS).astype(np.float32),
    }


def solved(index: int) -> np.ndarray:
    """Rewards of success, as robomimic's demonstrations have."""
    return (rows(index)["rewards"] > 0).astype(np.float32)


def robomimic(file: h5py.File, index: int) -> None:
    group, part = file.create_group(f"data/demo_{index}"), rows(index)
    group["actions"], group["states"] = part["actions"], np.zeros((STEPS, 32))
    group["rewards"], group["dones"] = solved(index), np.arange(STEPS) > STEPS - 3
    group["obs/b"], group["obs/a"] = part["observations"][:, 2:], part["observations"][:, :2]
    group["obs/image"] = np.zeros((STEPS, 4, 4, 3), np.uint8)


def maniskill(file: h5py.File, index: int) -> None:
    group, part = file.create_group(f"traj_{index}"), rows(index, more=1)
    group["actions"], group["rewards"] = part["actions"], part["rewards"]
    group["obs/agent/qpos"], group["obs/extra/held"] = part["observations"][:, :4], part["observations"][:, 4]
    group["terminated"], group["truncated"] = np.zeros(STEPS, bool), np.arange(STEPS) == STEPS - 1


def d3rlpy(file: h5py.File, index: int) -> None:
    part = rows(index)
    for key in ("observations", "actions"):
        file[f"{key}_{index}"] = part[key]
    file[f"rewards_{index}"], file[f"terminated_{index}"] = part["rewards"][:, None], index % 2 == 0


def plain_groups(file: h5py.File, index: int) -> None:
    group = file.create_group(f"episode_{index:03}")
    for key, column in rows(index).items():
        group[key] = column
    group["terminals"] = np.arange(STEPS) == STEPS - 1


LAYOUTS = {"robomimic": robomimic, "maniskill": maniskill, "d3rlpy": d3rlpy, "plain groups": plain_groups}


def write(path: Path, layout: str, count: int = 12) -> Path:
    with h5py.File(path, "w") as file:
        for index in range(count):
            LAYOUTS[layout](file, index)
        if layout == "d3rlpy":
            file["total_size"], file["version"] = count, "2.1"
    return path


def test_what_is_left_out_and_what_done_means_are_said(tmp_path):
    options = ReadOptions()
    read_dataset(write(tmp_path / "a.hdf5", "robomimic"), options)
    assert options.log.remarks == [
        "left out the observations image, which are not vectors",
        "an episode whose last row is done ends in a terminal if its last reward is above 0",
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_episodes_are_read_in_order(tmp_path, layout):
    found = read_dataset(write(tmp_path / "a.hdf5", layout))
    assert len(found) == 12 and found.transitions == 12 * STEPS
    whole = [rows(index, more=layout == "maniskill") for index in range(12)]
    np.testing.assert_array_equal(found.observations, np.concatenate([part["observations"][:STEPS] for part in whole]))
    np.testing.assert_array_equal(found.actions, np.concatenate([part["actions"] for part in whole]))
    earned = [solved(index) if layout == "robomimic" else part["rewards"] for index, part in enumerate(whole)]
    np.testing.assert_array_equal(found.rewards, np.concatenate(earned))
    last = {
        "robomimic": [rewards[-1] > 0 for rewards in earned],
        "maniskill": [False] * 12,
        "d3rlpy": [index % 2 == 0 for index in range(12)],
        "plain groups": [True] * 12,
    }[layout]
    assert found.terminals.sum() == sum(last)
    np.testing.assert_array_equal(found.terminals[STEPS - 1 :: STEPS], last)


def test_observations_that_are_joined_or_left_out_are_stated(tmp_path):
    stated = read_attributes(write(tmp_path / "a.hdf5", "robomimic"))
    assert (stated["observation_keys"], stated["left_out_keys"]) == ("a b", "image")


def test_d3rlpys_first_version(tmp_path):
    part, ends = rows(0), np.isin(np.arange(STEPS), (4, 9, STEPS - 1))
    flags = {"terminals": np.arange(STEPS) == 9, "episode_terminals": ends, "discrete_action": False}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, column in {**part, **flags, "version": "1.0"}.items():
            file[key] = column
    found = read_dataset(tmp_path / "a.h5")
    np.testing.assert_array_equal(np.diff(found.offsets), [5, 5, 10])
    assert np.flatnonzero(found.terminals).tolist() == [9]
    assert np.flatnonzero(found.timeouts & ~found.terminals).tolist() == [4, STEPS - 1]


def lacks(path: Path, layout: str, name: str) -> Path:
    with h5py.File(write(path, layout, 3), "a") as file:
        del file[name]
    return path


@pytest.mark.parametrize(
    ("layout", "name", "match"),
    [
        ("d3rlpy", "rewards_1", "episode 1 has no rewards"),
        ("plain groups", "episode_001/actions", "episode_001 has no actions"),
        ("robomimic", "data/demo_1/obs", "demo_1 has no observations"),
        ("maniskill", "traj_2/rewards", "traj_2 has no rewards"),
        ("robomimic", "data/demo_2/obs/a", "demo_2 has the observations b, but .*demo_0 has a, b"),
    ],
)
def test_no_episode_is_passed_over(tmp_path, layout, name, match):
    with pytest.raises(SeqrlError, match=match) as error:
        read_dataset(lacks(tmp_path / "a.hdf5", layout, name))
    assert "rename" not in error.value.hint


def test_a_group_that_contains_itself(tmp_path):
    with h5py.File(write(tmp_path / "a.hdf5", "robomimic", 1), "a") as file:
        file["data/demo_0/obs/self"] = file["data/demo_0/obs"]
    with pytest.raises(SeqrlError, match="more than 1000 parts"):
        read_dataset(tmp_path / "a.hdf5")


def old_minari(folder: Path) -> Path:
    """A dataset as Minari wrote it before 0.5."""
    (folder / "data").mkdir(parents=True)
    with h5py.File(folder / "data/main_data.hdf5", "w") as file:
        for index in range(3):
            group, part = file.create_group(f"episode_{index}"), rows(index, more=1)
            for key, column in part.items():
                group[key] = column
            group["terminations"], group["truncations"] = np.arange(STEPS) == STEPS - 1, np.zeros(STEPS, bool)
            group.create_group("infos")
        environment = {"id": "Hopper-v4", "max_episode_steps": 1000, "kwargs": {}}
        file.attrs.update({"total_episodes": 3, "dataset_id": "hopper-v0", "env_spec": json.dumps(environment)})
    return folder


@pytest.mark.parametrize("below", ["", "data", "data/main_data.hdf5"])
def test_minari_before_metadata_had_a_file(tmp_path, below):
    path = old_minari(tmp_path / "hopper-v0") / below
    found, stated = read_dataset(path), read_attributes(path)
    assert len(found) == 3 and found.terminals.sum() == 3 and found.transitions == 3 * STEPS
    assert (stated["minari_id"], stated["env_id"], stated["max_episode_steps"]) == ("hopper-v0", "Hopper-v4", 1000)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.hdf5.gz", b"\x1f\x8b...", "is compressed with gzip"),
        ("a.parquet", b"PAR1...", "is a Parquet file"),
        ("a.csv", b"x,y", "is a table in text"),
        ("a.tfrecord-00000-of-00001", b"\0" * 20, "TensorFlow records"),
        ("a.mat", b"MATLAB 5.0 MAT-file", "is a file of MATLAB"),
        ("a.hdf5", b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
        *(
            ("a.pkl", page, "is a web page")
            for page in (b"<!DOCTYPE html>", b"\xef\xbb\xbf\n<!doctype html>", b"<HTML>")
        ),
        ("meta/info.json", b"{}", "is a LeRobot dataset"),
        ("features.json", b"{}", "is a TensorFlow dataset"),
        (".zgroup", b"{}", "is a Zarr folder"),
    ],
)
def test_formats_that_are_named(tmp_path, name, content, match):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(SeqrlError, match=match):
        read_dataset(path if name.startswith("a.") else tmp_path)


def test_the_command_that_unpacks_works_for_any_name(tmp_path):
    path = tmp_path / "my data.npz"
    path.write_bytes(gzip.compress(b"content"))
    with pytest.raises(SeqrlError, match="is compressed with gzip") as error:
        read_dataset(path)
    command = error.value.hint.replace("NEW_FILE", "unpacked")
    assert subprocess.run(command, shell=True, cwd=tmp_path).returncode == 0
    assert (tmp_path / "unpacked").read_bytes() == b"content"


def several(file: h5py.File, marks: dict[str, np.ndarray]) -> None:
    for worker in range(3):
        group = file.create_group(f"worker_{worker}")
        for key, column in {**rows(worker), **marks}.items():
            group[key] = column


ENDED = np.isin(np.arange(STEPS), (4, 9, STEPS - 1))
SEVERAL = {
    "timeouts": {"terminals": np.zeros(STEPS, bool), "timeouts": ENDED},
    "truncated": {"terminated": np.zeros(STEPS, bool), "truncated": ENDED},
    "terminals": {"terminals": ENDED},
    "dones": {"dones": ENDED},
    "numbers of episodes": {"terminals": np.zeros(STEPS, bool), "episode_id": np.repeat([3, 4, 5], [5, 5, 10])},
    "first rows": {"terminals": np.zeros(STEPS, bool), "is_first": np.isin(np.arange(STEPS), (0, 5, 10))},
    "floats": {"terminals": np.zeros(STEPS), "timeouts": ENDED.astype(np.float32)},
    "lengths": {"terminals": np.zeros(STEPS, bool), "episode_lengths": np.array([5, 5, 10])},
    "masks": {"masks": 1 - ENDED.astype(np.float32)},
    "steps": {"terminals": np.zeros(STEPS, bool), "timestep": np.r_[np.arange(5), np.arange(5), np.arange(10)]},
}


@pytest.mark.parametrize("marks", SEVERAL)
def test_groups_that_are_recordings_of_several_episodes(tmp_path, marks):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        several(file, SEVERAL[marks])
    options = ReadOptions(dones="ends")
    found = read_dataset(tmp_path / "a.h5", options)
    assert found.lengths.tolist() == [5, 5, 10] * 3
    np.testing.assert_array_equal(found.rewards, np.concatenate([rows(index)["rewards"] for index in range(3)]))
    assert any("recordings of several episodes" in remark for remark in options.log.remarks)


def test_marks_of_one_episode_are_no_sign_of_several(tmp_path):
    first, last = np.arange(STEPS) == 0, np.arange(STEPS) == STEPS - 1
    marks = {
        "dones": last,
        "is_first": first,
        "masks": ~last,
        "timestep": np.arange(STEPS),
        "t": np.random.default_rng(0).normal(size=STEPS),
        "episode_id": np.full(STEPS, 7),
        "seq_id": np.arange(STEPS),
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        several(
            file, {**marks, "step_type": np.where(first, 0, np.where(last, 2, 1)), "is_last": last.astype(np.float32)}
        )
    options = ReadOptions()
    found = read_dataset(tmp_path / "a.h5", options)
    assert found.lengths.tolist() == [STEPS] * 3
    assert not any("several episodes" in remark for remark in options.log.remarks)


@pytest.mark.parametrize("layout", ["robomimic", "maniskill"])
def test_success_that_comes_and_goes_ends_no_episode(tmp_path, layout):
    path = write(tmp_path / "a.hdf5", layout, 3)
    with h5py.File(path, "a") as file:
        name = "data/demo_1/dones" if layout == "robomimic" else "traj_1/terminated"
        file[name][...] = np.arange(STEPS) == 7
    assert read_dataset(path).lengths.tolist() == [STEPS] * 3


NAMES_OF_GROUPS = {
    "variants": [f"demo_{index}{kind}" for index in range(3) for kind in ("", "_failed")],
    "zeros": ["ep_0", "ep_00", "ep_1", "ep_01"],
    "hexadecimal": ["0a3f", "7c2b", "b1de", "c4fe"],
}


@pytest.mark.parametrize("names", NAMES_OF_GROUPS)
def test_groups_of_any_names_are_all_read(tmp_path, names):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index, name in enumerate(NAMES_OF_GROUPS[names]):
            for key, column in rows(index).items():
                file[f"data/{name}/{key}"] = column
    found = read_dataset(tmp_path / "a.h5")
    assert len(found) == len(NAMES_OF_GROUPS[names])
    first = [float(rows(index)["rewards"][0]) for index in range(len(found))]
    assert sorted(found.rewards[found.offsets[:-1]].tolist()) == sorted(first)


@pytest.mark.parametrize("attributes", [{"scale_factor": 0.1}, {"add_offset": 1.0}, {"_FillValue": 7.0}])
def test_packed_numbers_are_refused(tmp_path, attributes):
    for layout in ("flat", "groups"):
        with h5py.File(tmp_path / f"{layout}.h5", "w") as file:
            group = file if layout == "flat" else file.create_group("episode_0")
            for key, column in rows(0).items():
                group[key] = np.append(column[:-1], 7.0) if key == "rewards" else column
            group["terminals"] = np.zeros(STEPS, bool)
            group["rewards"].attrs.update(attributes)
        with pytest.raises(SeqrlError, match="rewards (is packed|contains 7)"):
            read_dataset(tmp_path / f"{layout}.h5")


def test_netcdfs_mark_of_missing_numbers_is_no_matter_where_none_is_missing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, column in {**rows(0), "terminals": np.zeros(STEPS, bool)}.items():
            file[key] = column
            file[key].attrs["_FillValue"] = np.float32(np.nan) if key == "actions" else np.float32(-9999)
    assert read_dataset(tmp_path / "a.h5").transitions == STEPS


def test_groups_beside_the_episodes_are_no_episodes(tmp_path):
    with h5py.File(write(tmp_path / "a.h5", "plain groups", 3), "a") as file:
        for key, column in rows(0).items():
            file[f"statistics/{key}"] = np.stack([column.mean(axis=0), column.std(axis=0)])
        file["episode_000_images/front"] = np.zeros((2, 4, 4, 3), np.uint8)
    options = ReadOptions()
    assert read_dataset(tmp_path / "a.h5", options).lengths.tolist() == [STEPS] * 3
    assert options.log.warnings == ["1 group is not read, because its name has no number: statistics"]


def test_a_group_of_several_episodes_changes_no_other(tmp_path):
    with h5py.File(write(tmp_path / "a.h5", "plain groups", 3), "a") as file:
        file["episode_001/terminals"][...] = ENDED
        for key, column in rows(0).items():
            file[f"episode_003/{key}"] = column[:0]
    assert read_dataset(tmp_path / "a.h5").lengths.tolist() == [STEPS, 5, 5, 10, STEPS]


def test_padding_at_the_end_of_a_group_is_left_out(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index in range(2):
            for key, column in rows(index).items():
                file[f"episode_{index}/{key}"] = np.concatenate([column[:15], np.zeros_like(column[15:])])
            file[f"episode_{index}/dones"] = np.arange(STEPS) >= 14
    assert read_dataset(tmp_path / "a.h5").lengths.tolist() == [15, 15]
