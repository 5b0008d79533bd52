"""Forms of recordings that are neither flat columns nor one dictionary per episode: all of their data are kept."""

from __future__ import annotations

import json
import pickle

import h5py
import numpy as np
import pytest

from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.errors import SeqrlError
from tests.cli.conftest import invoke
from tests.data.files import write_npz

E, T = 5, 12
RNG = np.random.default_rng(0)
OBS = np.cumsum(RNG.normal(size=(E, T + 1, 3)), axis=1, dtype=np.float64).astype(np.float32)
ACTS = RNG.normal(size=(E, T, 2)).astype(np.float32)
REWS = RNG.normal(size=(E, T)).astype(np.float32)
FELL = np.arange(T) == np.where(np.arange(E) % 2, T - 1, T)[:, None]  # every other episode, in its last step


def stacked(**changed):
    return {"observations": OBS[:, :T], "actions": ACTS, "rewards": REWS, "terminals": FELL, **changed}


def assert_all_there(episodes, lengths=(T,) * E, terminals=(1, 3)):
    assert episodes.lengths.tolist() == [*lengths]
    rows = [(np.arange(T) < length) for length in lengths]
    for name, there in (("observations", OBS[:, :T]), ("actions", ACTS), ("rewards", REWS)):
        expected = np.concatenate([part[row] for part, row in zip(there, rows, strict=True)])
        np.testing.assert_array_equal(getattr(episodes, name), expected)
    ends = episodes.offsets[1:] - 1
    assert episodes.terminals[ends].nonzero()[0].tolist() == [*terminals]


def write_hdf5(path, columns):
    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            file[name] = column
    return path


def write_pickle(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


WRITERS = {"a.npz": write_npz, "a.hdf5": write_hdf5, "a.pkl": write_pickle}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"observations": OBS},
        {"rewards": REWS[:, :, None], "terminals": FELL[:, :, None]},
        {"next_observations": OBS[:, 1:]},
        {"timeouts": np.broadcast_to((np.arange(T) == T - 1), (E, T)) & ~FELL},
    ],
    ids=["plain", "one more", "numbers as vectors", "next", "timeouts"],
)
def test_arrays_of_episodes_and_steps(tmp_path, name, changed):
    assert_all_there(read_dataset(WRITERS[name](tmp_path / name, stacked(**changed))))


@pytest.mark.parametrize("how", ["zeros", "lengths"])
def test_padding_is_left_out_and_said(tmp_path, how):
    lengths = np.array([12, 7, 12, 9, 3])
    rows = np.arange(T) < lengths[:, None]
    ends = np.arange(T) == lengths[:, None] - 1
    columns = {name: np.where(rows.reshape(E, T, *[1] * (part.ndim - 2)), part, 0) for name, part in stacked().items()}
    columns["terminals"] = ends & (np.arange(E) % 2 > 0)[:, None]
    columns |= {"timeouts": ends & ~columns["terminals"]} if how == "zeros" else {"episode_lengths": lengths}
    options = ReadOptions()
    assert_all_there(read_dataset(write_npz(tmp_path / "a.npz", columns), options), lengths.tolist())
    assert "left out 17 rows of padding" in options.log.note


def test_zeros_without_a_mark_are_kept_and_warned_of(tmp_path):
    columns = {name: np.concatenate([part[:, :9], 0 * part[:, 9:]], axis=1) for name, part in stacked().items()}
    options = ReadOptions()
    assert read_dataset(write_npz(tmp_path / "a.npz", columns), options).lengths.tolist() == [T] * E
    assert options.log.warnings == ["5 of 5 episodes have zeros at their end, but no mark before them"]


def test_steps_before_episodes_are_refused(tmp_path):
    swapped = {name: np.swapaxes(part, 0, 1) for name, part in stacked().items()}
    with pytest.raises(SeqrlError, match="change less along the first axis") as caught:
        read_dataset(write_npz(tmp_path / "a.npz", swapped))
    assert "swapaxes" in caught.value.hint


def imitation(*, ends, **changed):
    """As ``imitation.data.types.save`` stores trajectories."""
    columns = {"obs": OBS.reshape(-1, 3), "acts": ACTS.reshape(-1, 2), "rews": REWS.reshape(-1), "terminal": ends}
    infos = np.array([{"a": 1}] * (E * T))
    return {**columns, "infos": infos, "indices": np.arange(1, E) * T, **changed}


def test_the_archives_of_imitation(tmp_path):
    ends = np.arange(E) % 2 > 0
    path = tmp_path / "a.npz"
    np.savez(path, **imitation(ends=ends))
    assert_all_there(read_dataset(path, ReadOptions(dones="terminals")))
    np.savez(path, **imitation(ends=np.ones(E, bool)))
    assert_all_there(read_dataset(path), terminals=())  # all episodes are equally long, as with a time limit
    first = {"obs": OBS[0], "acts": ACTS[0], "rews": REWS[0], "terminal": np.array(True), "indices": np.zeros(0, int)}
    np.savez(path, **imitation(ends=ends, **first))
    assert read_dataset(path, ReadOptions(dones="ends", step_limit=T)).timeouts.tolist() == [False] * (T - 1) + [True]


def test_damaged_archives_of_imitation_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    for wrong in ({"indices": np.arange(E)}, {"obs": OBS.reshape(-1, 3)[:-1]}, {"indices": np.array([1.5] * (E - 1))}):
        np.savez(path, **imitation(ends=np.ones(E, bool), **wrong))
        with pytest.raises(SeqrlError, match="its columns do not fit together"):
            read_dataset(path)


def steps(number, **more):
    rows = zip(OBS[number], ACTS[number], REWS[number], FELL[number], strict=False)
    for observation, action, reward, fell in rows:
        yield {"observation": observation, "action": action, "reward": float(reward), "terminated": bool(fell), **more}


@pytest.mark.parametrize("kind", ["lists of numbers", "arrays", "numbers of NumPy"])
def test_dictionaries_of_single_steps(tmp_path, kind):
    episodes = [list(steps(number, info={"TimeLimit": 1})) for number in range(E)]
    for step in (step for episode in episodes for step in episode):
        if kind == "lists of numbers":
            step |= {"observation": step["observation"].tolist(), "action": step["action"].tolist()}
        if kind == "numbers of NumPy":
            step |= {"reward": np.float32(step["reward"]), "terminated": np.bool_(step["terminated"])}
    assert_all_there(read_dataset(write_pickle(tmp_path / "a.pkl", episodes)))
    flat = [
        {**step, "truncated": number == T - 1 and not step["terminated"]}
        for episode in episodes
        for number, step in enumerate(episode)
    ]
    assert_all_there(read_dataset(write_pickle(tmp_path / "b.pkl", flat)))


def test_a_step_that_lacks_something_is_named(tmp_path):
    rows = list(steps(0))
    del rows[4]["action"]
    with pytest.raises(SeqrlError, match="step 4 has no action"):
        read_dataset(write_pickle(tmp_path / "a.pkl", rows))
    rows = [*steps(0), *steps(1, truncated=True)]
    with pytest.raises(SeqrlError, match="step 12 has truncated, which step 0 has not"):
        read_dataset(write_pickle(tmp_path / "a.pkl", rows))
    with pytest.raises(SeqrlError, match="step 3"):
        read_dataset(write_pickle(tmp_path / "a.pkl", [*list(steps(0))[:3], 5]))


def test_from_the_command_line(tmp_path):
    path = write_npz(tmp_path / "a.npz", stacked())
    told = invoke(tmp_path / "runs", "info", path, "--json")
    assert told.exit_code == 0 and json.loads(told.stdout)["episodes"] == E
    assert "took the axes (5, 12) for episodes and steps" in told.stderr


def test_numbers_that_float32_cannot_tell_apart_are_warned_of(tmp_path):
    clock = 1.7e9 + 0.02 * np.arange(40.0)
    columns = {"actions": np.zeros((40, 1)), "rewards": np.zeros(40), "terminals": np.arange(40) == 39}

    def warnings(observations):
        options = ReadOptions()
        read_dataset(write_npz(tmp_path / "a.npz", {**columns, "observations": observations}), options)
        return options.log.warnings

    (warning,) = warnings(np.stack([np.arange(40.0), clock], axis=1))
    assert "column 1 of observations has large numbers that differ by less than float32 can tell" in warning
    assert len(warnings(np.stack([np.arange(40), 1_700_000_000 + np.arange(40)], axis=1).astype(np.int32))) == 1
    assert not warnings(np.stack([np.arange(40), 100_000 + np.arange(40)], axis=1))
    assert not warnings(np.stack([np.full(40, 1.7e9), clock - 1.7e9], axis=1))
    assert not warnings(np.stack([np.linspace(1e8, 2e8, 40), np.full(40, 1e-9)], axis=1))


def test_codes_are_not_taken_for_choices(tmp_path):
    columns = {"observations": np.zeros((4, 2)), "rewards": np.zeros(4), "terminals": np.arange(4) == 3}
    path = write_npz(tmp_path / "a.npz", {**columns, "actions": np.arange(4) * 1_000_000})
    with pytest.raises(SeqrlError, match="whole numbers up to 3,000,000, of which 4 differ"):
        read_dataset(path)


def test_lengths_of_episodes_may_be_zero(tmp_path):
    columns = {"observations": np.zeros((6, 2)), "actions": np.zeros((6, 1)), "rewards": np.zeros(6)}
    path = write_npz(tmp_path / "a.npz", {**columns, "episode_lengths": [2, 0, 3, 0, 1]})
    assert read_dataset(path).lengths.tolist() == [2, 3, 1]


def test_vectors_of_one_number_are_told_how_to_be_saved(tmp_path):
    columns = {"observations": np.zeros((6, 2)), "actions": np.linspace(0, 1, 6), "rewards": np.zeros(6)}
    columns["terminals"] = np.arange(6) == 5
    with pytest.raises(SeqrlError, match="one number of type float64 per row") as caught:
        read_dataset(write_npz(tmp_path / "a.npz", columns))
    assert "actions[:, None]" in caught.value.hint


LONG = np.array([9, 5, 12, 7, 10])


def filled(**changed):
    """Episodes that are filled up with their last observation, and with zeros for the rest."""
    is_real = np.arange(T) < LONG[:, None]
    last = OBS[np.arange(E), LONG - 1][:, None]
    columns = {"observations": np.where(is_real[:, :, None], OBS[:, :T], last)}
    columns |= {"actions": ACTS * is_real[:, :, None], "rewards": REWS * is_real}
    return {**columns, **changed}


STAYS = np.arange(T) >= LONG[:, None] - 1
REAL = np.arange(T) < LONG[:, None]


@pytest.mark.parametrize(
    ("marks", "terminals"),
    [
        ({"terminals": STAYS}, (0, 1, 2, 3, 4)),
        ({"dones": STAYS}, (0, 1, 2, 3, 4)),
        ({"terminals": np.zeros((E, T), bool), "timeouts": STAYS}, ()),
        ({"mask": REAL}, ()),
        ({"masks": ~STAYS}, (0, 1, 2, 3, 4)),
        ({"terminals": np.zeros((E, T), bool), "lengths": LONG.astype(np.float64)}, ()),
        ({"terminals": np.zeros((E, T), bool), "seq_len": LONG}, ()),
    ],
    ids=["terminals", "dones", "timeouts", "mask of rows", "mask of ends", "lengths", "seq_len"],
)
def test_an_end_that_stays_marked_is_where_the_episode_ends(tmp_path, marks, terminals):
    options = ReadOptions(dones="terminals")
    episodes = read_dataset(write_npz(tmp_path / "a.npz", filled(**marks)), options)
    assert_all_there(episodes, LONG.tolist(), terminals)
    assert any("padding" in remark for remark in options.log.remarks)


@pytest.mark.parametrize("marks", [{"dones": STAYS}, {"terminals": STAYS}, {"mask": REAL}, {"length": LONG}])
def test_padding_in_a_list_of_episodes_is_left_out(tmp_path, marks):
    columns = filled(**({"terminals": np.zeros((E, T), bool), "episode_length": LONG} if "length" in marks else marks))
    episodes = [{name: column[index] for name, column in columns.items()} for index in range(E)]
    found = read_dataset(write_pickle(tmp_path / "a.pkl", episodes), ReadOptions(dones="terminals"))
    assert found.lengths.tolist() == LONG.tolist()


@pytest.mark.parametrize("shape", [(E, T), (E, T, 4)])
def test_a_mask_of_something_else_cuts_nothing(tmp_path, shape):
    """Steps of an expert, or actions that are allowed."""
    mask = np.arange(T) < 5 if len(shape) == 2 else np.ones(4)
    columns = stacked(mask=np.broadcast_to(mask, shape).astype(np.float32))
    assert_all_there(read_dataset(write_npz(tmp_path / "a.npz", columns)))
