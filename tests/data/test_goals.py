"""Goals in columns of their own belong to the observations, in the order of Gymnasium's ``FlattenObservation``."""

from __future__ import annotations

import pickle

import gymnasium
import h5py
import numpy as np
import pytest

from seqrl_cli.data.formats.arrays import read_arrays, read_episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.data.formats.reading_log import ReadingLog

EPISODES, STEPS = 4, 10
ROWS = EPISODES * STEPS
rng = np.random.default_rng(0)
SEEN = {"observation": rng.normal(size=(ROWS, 3)), "achieved_goal": rng.normal(size=(ROWS, 2))}
SEEN["desired_goal"] = np.repeat(rng.normal(size=(EPISODES, 2)), STEPS, axis=0)
COLUMNS = {
    **SEEN,
    "action": rng.uniform(-1, 1, (ROWS, 2)),
    "reward": np.ones(ROWS),
    "terminated": np.zeros(ROWS, bool),
    "truncated": np.arange(ROWS) % STEPS == STEPS - 1,
}


def by_episode() -> list[dict]:
    return [
        {name: column[first : first + STEPS] for name, column in COLUMNS.items()} for first in range(0, ROWS, STEPS)
    ]


def flattened() -> np.ndarray:
    """What a wrapped environment shows of the same states."""
    box = gymnasium.spaces.Dict({name: gymnasium.spaces.Box(-9, 9, rows.shape[1:]) for name, rows in SEEN.items()})
    rows = [gymnasium.spaces.flatten(box, {name: rows[row] for name, rows in SEEN.items()}) for row in range(ROWS)]
    return np.stack(rows).astype(np.float32)


def write_archive(path):
    np.savez(path / "a.npz", **COLUMNS)
    return path / "a.npz"


def write_hdf5(path):
    with h5py.File(path / "a.h5", "w") as file:
        file.update(COLUMNS)
    return path / "a.h5"


def write_groups(path):
    with h5py.File(path / "a.h5", "w") as file:
        for index, episode in enumerate(by_episode()):
            file.create_group(f"episode_{index}").update(episode)
    return path / "a.h5"


def write_group_of_observations(path):
    with h5py.File(path / "a.h5", "w") as file:
        file.update({name: column for name, column in COLUMNS.items() if name != "observation"})
        file.create_group("observation").update(SEEN)
    return path / "a.h5"


def write_pickle(path):
    (path / "a.pkl").write_bytes(pickle.dumps(by_episode()))
    return path / "a.pkl"


def write_steps(path):
    rows = [{name: column[row] for name, column in COLUMNS.items()} for row in range(ROWS)]
    (path / "a.pkl").write_bytes(pickle.dumps(rows))
    return path / "a.pkl"


@pytest.mark.parametrize(
    "write", [write_archive, write_hdf5, write_groups, write_group_of_observations, write_pickle, write_steps]
)
def test_files(tmp_path, write):
    found = read_dataset(write(tmp_path))
    assert found.lengths.tolist() == [STEPS] * EPISODES
    np.testing.assert_array_equal(found.observations, flattened())


def test_arrays():
    log = ReadingLog()
    np.testing.assert_array_equal(read_arrays(COLUMNS, ReadOptions(log=log)).observations, flattened())
    assert "joined achieved_goal, desired_goal and observation, as Gymnasium does" in str(log.note)
    np.testing.assert_array_equal(read_episodes(by_episode(), ReadOptions()).observations, flattened())
    stacked = {name: np.stack([episode[name] for episode in by_episode()]) for name in COLUMNS}
    np.testing.assert_array_equal(read_arrays(stacked, ReadOptions()).observations, flattened())


def test_next_observations_without_goals_still_tell_of_resets():
    columns = {name: column for name, column in COLUMNS.items() if name != "truncated"}
    columns["next_observation"] = np.concatenate([SEEN["observation"][1:], np.zeros((1, 3))])
    columns["next_observation"][STEPS - 1 :: STEPS] = 0
    found = read_arrays(columns, ReadOptions())
    assert found.lengths.tolist() == [STEPS] * EPISODES
    np.testing.assert_array_equal(found.observations, flattened())


def test_observations_with_the_goal_in_them_stay():
    joined = np.concatenate([SEEN["observation"], SEEN["desired_goal"]], axis=1)
    found = read_arrays({**COLUMNS, "observation": joined}, ReadOptions())
    np.testing.assert_array_equal(found.observations, joined.astype(np.float32))


def test_what_is_reached_is_not_joined_unless_something_is_to_be():
    found = read_arrays({name: column for name, column in COLUMNS.items() if name != "desired_goal"}, ReadOptions())
    assert found.observations.shape == (ROWS, 3)


def test_goals_of_images_are_left_out_with_a_warning():
    log = ReadingLog()
    images = rng.integers(0, 255, (ROWS, 16, 16, 3), dtype=np.uint8)
    assert read_arrays({**COLUMNS, "observation": images}, ReadOptions(log=log)).observations.shape == images.shape
    assert any("cannot be joined" in warning for warning in log.warnings)


@pytest.mark.parametrize(
    "goal",
    [
        np.zeros((EPISODES, 2)),
        np.zeros(ROWS),
        np.zeros(2),
        np.full((ROWS, 2), np.nan),
        np.array(["kitchen"] * ROWS),
        np.zeros((ROWS, 4, 4, 3)),
    ],
    ids=["per episode", "numbers", "one", "none", "words", "images"],
)
def test_goals_that_cannot_be_joined_are_left_out(goal):
    log = ReadingLog()
    found = read_arrays({**COLUMNS, "desired_goal": goal}, ReadOptions(log=log))
    assert found.observations.shape == (ROWS, 3)
    assert goal.dtype.kind == "U" or any("cannot be joined" in warning for warning in log.warnings)


def test_observations_with_the_goal_in_them_stay_in_lists_of_episodes():
    joined = [
        {**episode, "observation": np.concatenate([episode["observation"], episode["desired_goal"]], axis=1)}
        for episode in by_episode()
    ]
    assert read_episodes(joined, ReadOptions()).observations.shape == (ROWS, 5)


def test_goals_of_stacked_episodes_may_have_one_more():
    parts = by_episode()
    more = {name: np.stack([np.concatenate([part[name], part[name][-1:] + 1]) for part in parts]) for name in SEEN}
    stacked = {name: np.stack([part[name] for part in parts]) for name in COLUMNS if name not in SEEN}
    found = read_arrays({**stacked, **more}, ReadOptions())
    np.testing.assert_array_equal(found.observations, flattened())
