"""The forms in which the data of multi-domain Decision Transformers are published, on small files of just these."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats import columns as columns_module
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.errors import SeqrlError

LENGTHS = (4, 4, 4, 4)
SUFFIXES = (".hdf5", ".npz", ".pkl")


def episode(number: int, *, images: bool = False, length: int = 4) -> dict[str, np.ndarray]:
    """The columns of an episode's file, as scripts that prepare Atari's and DMControl's data write them."""
    rng = np.random.default_rng(number)
    states = rng.integers(0, 256, (length, 1, 12, 12)).astype(np.uint8) if images else rng.random((length, 5))
    rewards = rng.random(length).astype(np.float32)
    return {
        "states": states,
        "actions": rng.integers(0, 18, length) if images else rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        "rewards": rewards,
        "dones": np.arange(length) == length - 1,
        "returns_to_go": rewards[::-1].cumsum()[::-1],
    }


def write(path: Path, columns: dict[str, Any]) -> None:
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(columns))
    else:
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                file[name] = column


def folder_of(path: Path, suffix: str, **options: Any) -> Path:
    """One file per episode, and the two JSON files beside them."""
    path.mkdir()
    for number in range(len(LENGTHS)):
        write(path / f"{number:09d}{suffix}", episode(number, **options))
    lengths = {f"{number:09d}": length for number, length in enumerate(LENGTHS)}
    (path / "episode_lengths.json").write_text(json.dumps(lengths))
    (path / "stats.json").write_text('{"n_transitions": 16}')
    return path


def check(episodes: Episodes, **options: Any) -> None:
    assert episodes.lengths.tolist() == list(LENGTHS)
    for number, start in enumerate(episodes.offsets[:-1]):
        wanted = episode(number, **options)
        assert np.allclose(episodes.observations[start : start + 4], wanted["states"])
        assert np.allclose(episodes.actions[start : start + 4], wanted["actions"])
        assert np.allclose(episodes.rewards[start : start + 4], wanted["rewards"])
    assert not episodes.terminals.any() and episodes.timeouts.sum() == len(LENGTHS)  # all end at the step limit


LIMIT = ReadOptions(step_limit=4)


@pytest.mark.parametrize("images", [False, True], ids=["vectors", "images"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_per_episode(tmp_path, suffix, images):
    check(read_dataset(folder_of(tmp_path / "pong", suffix, images=images), LIMIT), images=images)


def test_flat_columns_of_a_whole_training(tmp_path):
    parts = [episode(number) for number in range(len(LENGTHS))]
    states = np.concatenate([part["states"] for part in parts])
    following = np.concatenate([[*part["states"][1:], part["states"][-1] + 1] for part in parts])
    columns = {name: np.concatenate([part[name] for part in parts]) for name in ("actions", "rewards", "dones")}
    flat = {"observations": states, "next_observations": following, **columns}
    for suffix in SUFFIXES:
        path = tmp_path / f"hammer-v2{suffix}"
        write(path, flat)
        check(read_dataset(path, LIMIT))


def test_a_pickled_list_of_dictionaries(tmp_path):
    path = tmp_path / "hammer-v2.pkl"
    path.write_bytes(pickle.dumps([episode(number) for number in range(len(LENGTHS))]))
    check(read_dataset(path, LIMIT))


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_episode_is_named_and_left_out_only_on_request(tmp_path, suffix):
    folder = folder_of(tmp_path / "pong", suffix)
    damage(folder / f"000000002{suffix}")
    with pytest.raises(SeqrlError, match=f"000000002{suffix}") as error:
        read_dataset(folder, LIMIT)
    assert "data.skip_damaged=true" in error.value.hint
    options = ReadOptions(step_limit=4, skip_damaged=True)
    episodes = read_dataset(folder, options)
    assert len(episodes) == 3 and f"left out 1 of 4 files, 000000002{suffix}" in options.log.warnings[0]


def test_lengths_that_the_files_do_not_have(tmp_path):
    folder = folder_of(tmp_path / "pong", ".npz")
    write(folder / "000000001.npz", episode(1, length=3))
    (folder / "000000003.npz").unlink()
    with pytest.raises(SeqrlError, match="lacks the episode 000000003, which episode_lengths.json lists"):
        read_dataset(folder, LIMIT)
    options = ReadOptions(step_limit=4, skip_damaged=True)
    assert read_dataset(folder, options).lengths.tolist() == [4, 4]
    assert "lacks the episode 000000003" in options.log.warnings[0]
    assert "left out 1 of 3 files, 000000001.npz" in options.log.warnings[1]
    (folder / "episode_lengths.json").write_text("[1, 2]")
    with pytest.raises(SeqrlError, match="does not state one length for each of the 3 files"):
        read_dataset(folder, LIMIT)


def test_no_file_that_can_be_read(tmp_path):
    folder = folder_of(tmp_path / "pong", ".npz")
    for path in folder.glob("*.npz"):
        damage(path)
    with pytest.raises(SeqrlError, match="none of the 4 files in .*pong can be read"):
        read_dataset(folder, ReadOptions(skip_damaged=True))


@pytest.mark.parametrize(
    ("name", "wrong", "sentence"),
    [
        ("actions", np.zeros((3, 2)), "actions has 3 rows, but observations has 4"),
        ("rewards", np.zeros((4, 2)), r"rewards has shape \(4, 2\), not one number per row"),
        ("states", np.zeros((4, 5), dtype="S3"), r"states contains \|S3, not numbers"),
    ],
)
def test_wrong_shapes_are_refused_in_a_sentence(tmp_path, name, wrong, sentence):
    folder = folder_of(tmp_path / "pong", ".npz")
    write(folder / "000000001.npz", {**episode(1), name: wrong})
    with pytest.raises(SeqrlError, match=f"000000001.npz: {sentence}"):
        read_dataset(folder, LIMIT)


def test_an_episode_of_another_size_is_no_damage(tmp_path):
    folder = folder_of(tmp_path / "pong", ".npz")
    write(folder / "000000001.npz", {**episode(1), "states": np.zeros((4, 6))})
    with pytest.raises(SeqrlError, match="000000001.npz"):
        read_dataset(folder, ReadOptions(step_limit=4, skip_damaged=True))


def test_many_files_are_joined_in_their_order_a_part_at_a_time(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "pong", ".hdf5")
    whole = read_dataset(folder, LIMIT)
    monkeypatch.setattr(columns_module, "_JOINED_AT_ONCE", 3)
    assert read_dataset(folder, LIMIT).fingerprint() == whole.fingerprint()


def pixels(number: int, *, side: int, length: int = 6) -> dict[str, np.ndarray]:
    """An episode of V-D4RL: its first row is the reset, with an action and a reward of 0."""
    rng = np.random.default_rng(number)
    first = np.arange(length) == 0
    return {
        "image": rng.integers(0, 256, (length, side, side, 3)).astype(np.uint8),
        "action": np.where(first[:, None], 0, rng.uniform(-1, 1, (length, 6))).astype(np.float32),
        "reward": np.where(first, 0, rng.random(length)).astype(np.float32),
        "discount": np.ones(length, np.float32),
        "is_first": first,
        "is_last": np.arange(length) == length - 1,
        "is_terminal": np.zeros(length, bool),
    }


def check_pixels(read: Episodes, episodes: list[dict[str, np.ndarray]]) -> None:
    """Rows are moved so that an action stands beside the image in which it was chosen."""
    assert read.lengths.tolist() == [5] * len(episodes)
    assert not read.terminals.any() and read.timeouts.sum() == len(episodes)
    assert np.array_equal(read.observations, np.concatenate([each["image"][:-1] for each in episodes]))
    assert np.array_equal(read.actions, np.concatenate([each["action"][1:] for each in episodes]))
    assert np.array_equal(read.rewards, np.concatenate([each["reward"][1:] for each in episodes]))


def test_visual_dmcontrol_as_a_file_per_episode(tmp_path):
    episodes = [pixels(number, side=64) for number in range(3)]
    for number, each in enumerate(episodes):
        np.savez_compressed(tmp_path / f"20220101T00000{number}-{number:032x}-6.npz", **each)
    check_pixels(read_dataset(tmp_path, ReadOptions(step_limit=5)), episodes)


def test_visual_dmcontrol_in_shards_with_colours_first(tmp_path):
    episodes = [pixels(number, side=84) for number in range(4)]
    for shard in range(2):
        mine = episodes[2 * shard : 2 * shard + 2]
        with h5py.File(tmp_path / f"walker_walk_medium_expert_{shard}.hdf5", "w") as file:
            file["observation"] = np.concatenate([each["image"].transpose(0, 3, 1, 2) for each in mine])
            for name in ("action", "reward", "discount"):
                file[name] = np.concatenate([each[name] for each in mine])
            kinds = [np.where(each["is_first"], 0, np.where(each["is_last"], 2, 1)) for each in mine]
            file["step_type"] = np.concatenate(kinds)
    check_pixels(read_dataset(tmp_path, ReadOptions(step_limit=5)), episodes)
