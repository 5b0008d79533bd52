"""Columns in forms that are easily lost: objects, texts, one value per episode, padding, stale rows."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from seqrl_cli.data.formats.arrays import read_arrays, read_episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.errors import SeqrlError

ROWS, EPISODES, STEPS = 40, 6, 12
rng = np.random.default_rng(0)
FLAT = {"observations": rng.normal(size=(ROWS, 3)), "actions": rng.normal(size=(ROWS, 2)), "rewards": np.ones(ROWS)}
STACKED = {
    "observations": rng.normal(size=(EPISODES, STEPS, 3)),
    "actions": rng.normal(size=(EPISODES, STEPS, 2)),
    "rewards": np.ones((EPISODES, STEPS)),
}
LENGTHS = np.array([12, 5, 7, 12, 3, 9])
TERMINATED, TRUNCATED = np.isin(np.arange(ROWS), (9, 29)), np.isin(np.arange(ROWS), (19, 39))


@pytest.mark.parametrize("form", [bool, object])
def test_flags_of_objects_count(form):
    columns = {**FLAT, "terminated": TERMINATED.astype(form), "truncated": TRUNCATED.astype(form)}
    found = read_arrays(columns, ReadOptions())
    assert found.lengths.tolist() == [10] * 4 and found.terminals.sum() == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truncated": np.where(TRUNCATED, None, False)}, "truncated contains values of type NoneType"),
        ({"terminated": TERMINATED.astype(str)}, "terminated contains <U5"),
        ({"observations": {"position": np.zeros((ROWS, 3))}}, r"observations contains a dictionary \(position\)"),
        ({"rewards": np.ma.masked_array(np.ones(ROWS), np.arange(ROWS) == 3)}, "rewards has masked values"),
    ],
)
def test_what_would_be_lost_is_refused(changes, message):
    columns = {**FLAT, "terminated": TERMINATED, "truncated": TRUNCATED, **changes}
    with pytest.raises(SeqrlError, match=message):
        read_arrays(columns, ReadOptions())
    with pytest.raises(SeqrlError, match=message):
        read_episodes([columns], ReadOptions())


def test_texts_as_objects_number_the_episodes_of_an_archive(tmp_path):
    ids = np.array(["a"] * 15 + ["b"] * 25, dtype=object)
    np.savez(tmp_path / "a.npz", **FLAT, terminals=np.zeros(ROWS), episode_id=ids)
    assert read_dataset(tmp_path / "a.npz").lengths.tolist() == [15, 25]


def test_texts_of_any_length_number_the_episodes_of_an_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, column in {**FLAT, "terminals": np.zeros(ROWS)}.items():
            file[name] = column
        file["episode_id"] = ["a"] * 15 + ["bé"] * 25
    assert read_dataset(tmp_path / "a.h5").lengths.tolist() == [15, 25]


def test_other_objects_in_an_archive_are_named(tmp_path):
    ids = np.array([{"id": 1}] * ROWS, dtype=object)
    np.savez(tmp_path / "a.npz", **FLAT, terminals=np.zeros(ROWS), episode_id=ids)
    options = ReadOptions()
    read_dataset(tmp_path / "a.npz", options)
    assert "episode_id is not read, because it contains neither numbers nor texts" in options.log.warnings


def test_flags_of_whole_episodes_beside_stacked_arrays(tmp_path):
    ended = np.arange(EPISODES) % 2 == 0
    np.savez(tmp_path / "a.npz", **STACKED, terminated=ended, truncated=~ended)
    options = ReadOptions()
    found = read_dataset(tmp_path / "a.npz", options)
    assert found.terminals[STEPS - 1 :: STEPS].tolist() == ended.tolist() and not options.log.warnings


@pytest.mark.parametrize(
    "stated",
    [
        {"episode_lengths": LENGTHS[:, None]},
        {"episode_len": LENGTHS},
        {"is_pad": np.arange(STEPS) >= LENGTHS[:, None]},
        {"action_is_pad": np.arange(STEPS) >= LENGTHS[:, None]},
    ],
    ids=lambda stated: next(iter(stated)),
)
def test_padding_of_stacked_arrays(tmp_path, stated):
    used = np.arange(STEPS) < LENGTHS[:, None]
    filled = {
        name: np.where(used.reshape(EPISODES, STEPS, *[1] * (a.ndim - 2)), a, -100) for name, a in STACKED.items()
    }
    np.savez(tmp_path / "a.npz", **filled, terminals=np.zeros((EPISODES, STEPS)), **stated)
    assert read_dataset(tmp_path / "a.npz").lengths.tolist() == LENGTHS.tolist()


def test_episodes_of_length_zero_are_left_out(tmp_path):
    lengths = np.where(np.arange(EPISODES) == 4, 0, LENGTHS)
    np.savez(tmp_path / "a.npz", **STACKED, terminals=np.zeros((EPISODES, STEPS)), lengths=lengths)
    options = ReadOptions()
    assert read_dataset(tmp_path / "a.npz", options).lengths.tolist() == [12, 5, 7, 12, 9]
    assert "episodes without a step were left out" in options.log.warnings


def test_columns_of_other_shapes_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", **STACKED, terminals=np.zeros((EPISODES, STEPS)), is_last=np.zeros((EPISODES, 3)))
    options = ReadOptions()
    read_dataset(tmp_path / "a.npz", options)
    assert any("is_last is not read, because it has the shape (6, 3)" in text for text in options.log.warnings)


def test_lengths_beside_arrays_of_objects(tmp_path):
    columns = {name: np.empty(EPISODES, dtype=object) for name in STACKED}
    for name, column in columns.items():
        column[:] = list(STACKED[name])
    filled = np.empty(EPISODES, dtype=object)
    filled[:] = [np.arange(STEPS) >= length - 1 for length in LENGTHS]
    for index, length in enumerate(LENGTHS):
        for column in columns.values():
            column[index][length:] = 0
    np.savez(tmp_path / "a.npz", **columns, terminals=filled, episode_lengths=LENGTHS)
    assert read_dataset(tmp_path / "a.npz").lengths.tolist() == LENGTHS.tolist()


def test_stale_rows_behind_the_size_of_a_buffer_are_warned_of(tmp_path):
    np.savez(tmp_path / "a.npz", **FLAT, terminals=np.zeros(ROWS), timeouts=np.arange(ROWS) % 10 == 9, size=30, ptr=30)
    options = ReadOptions()
    assert read_dataset(tmp_path / "a.npz", options).transitions == ROWS
    assert any("size is 30, but the rows after it are not zeros" in text for text in options.log.warnings)


@pytest.mark.parametrize(
    "extra",
    [
        {"state": {"qpos": 1}},
        {"episode": {"r": 1.0, "l": 5}},
        {"truncation": [None] * ROWS},
        {"termination": "fell"},
        {"done": "yes"},
        {"t": np.arange(ROWS).astype("datetime64[s]")},
        {"episode_id": [None] * ROWS},
        {"image": np.array(["a.png"] * ROWS)},
        {"temperature": np.ma.masked_array(np.ones(ROWS), np.arange(ROWS) == 3)},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_what_nobody_needs_is_left_out(extra):
    found = read_arrays({**FLAT, "terminated": TERMINATED, "truncated": TRUNCATED, **extra}, ReadOptions())
    assert found.lengths.tolist() == [10] * 4 and found.terminals.sum() == 2


def test_texts_of_rows_are_no_episodes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, column in {**FLAT, "terminals": TERMINATED, "timeouts": TRUNCATED}.items():
            file[name] = column
        file["trajectory_id"] = [f"row {row}" for row in range(ROWS)]
        file["episode"] = ["walk", "run"] * (ROWS // 2)
    options = ReadOptions()
    assert read_dataset(tmp_path / "a.h5", options).lengths.tolist() == [10] * 4
    assert any("trajectory_id is not read" in text for text in options.log.warnings)


@pytest.mark.parametrize(
    "extra", [{"episode_starts": np.arange(5)}, {"first_joints": np.arange(3)}, {"timesteps": np.arange(72)}]
)
def test_columns_of_other_lengths_beside_arrays_of_objects_change_nothing(tmp_path, extra):
    columns = {name: np.empty(EPISODES, dtype=object) for name in (*STACKED, "terminals")}
    for index in range(EPISODES):
        for name, array in STACKED.items():
            columns[name][index] = array[index]
        columns["terminals"][index] = np.arange(STEPS) == STEPS - 1
    np.savez(tmp_path / "a.npz", **columns, **extra)
    assert read_dataset(tmp_path / "a.npz").lengths.tolist() == [STEPS] * EPISODES


def test_lengths_beside_dones_make_no_terminal_a_time_limit(tmp_path):
    lengths = np.array([8, 8, 8, 3, 5, 8])
    columns = {**FLAT, "done": np.isin(np.arange(ROWS), np.cumsum(lengths) - 1), "ep_len": lengths}
    np.savez(tmp_path / "a.npz", **columns)
    found = read_dataset(tmp_path / "a.npz", ReadOptions(step_limit=8))
    assert found.terminals[np.cumsum(lengths) - 1].tolist() == [False, False, False, True, True, False]
