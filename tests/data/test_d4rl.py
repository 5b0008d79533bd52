"""D4RL files: round trips, the places where an episode ends, and every way in which a file can be bad."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from seqrl_cli.data.formats.d4rl import read_attributes, read_d4rl, write_d4rl
from seqrl_cli.errors import SeqrlError
from tests.data.conftest import ragged
from tests.data.files import assert_equal, raw_arrays, write_raw


def refuse(path, match, **options):
    with pytest.raises(SeqrlError, match=match) as error:
        read_d4rl(path, **options)
    assert str(path) in error.value.message
    assert error.value.hint
    assert "\n" not in error.value.message


def test_round_trip(tmp_path, episodes):
    write_d4rl(tmp_path / "a.h5", episodes, {})
    assert_equal(read_d4rl(tmp_path / "a.h5"), episodes)


def test_same_data_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_d4rl(tmp_path / name, ragged(0), {"seed": 1, "env_id": "Hopper-v4"})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_attributes(tmp_path):
    stated = {"env_id": "Hopper-v4", "seed": 3, "reference_min": -20.5, "truncated": True, "url": None}
    write_d4rl(tmp_path / "a.h5", ragged(0), stated)
    assert read_attributes(tmp_path / "a.h5") == {key: value for key, value in stated.items() if value is not None}


def test_foreign_attributes_are_read_or_left_out(tmp_path):
    path = write_raw(tmp_path / "a.h5", raw_arrays())
    with h5py.File(path, "a") as file:
        file.attrs["bytes"] = np.bytes_(b"abc")
        file.attrs["number"] = np.float32(0.5)
        file.attrs["array"] = np.zeros(3)
    assert read_attributes(path) == {"bytes": "abc", "number": 0.5}


def test_other_types_and_shapes_are_normalized(tmp_path):
    plain = raw_arrays()
    odd = {name: array.astype(np.float64) for name, array in plain.items()}
    for name in ("rewards", "terminals", "timeouts"):
        odd[name] = odd[name][:, None]
    odd["infos/qpos"] = np.zeros((10, 3))
    first = read_d4rl(write_raw(tmp_path / "plain.h5", plain))
    assert_equal(read_d4rl(write_raw(tmp_path / "odd.h5", odd)), first)
    assert first.lengths.tolist() == [4, 3, 3]


def test_observation_slice(tmp_path):
    path = write_raw(tmp_path / "a.h5", raw_arrays())
    np.testing.assert_array_equal(
        read_d4rl(path, observation_slice=3).observations, read_d4rl(path).observations[:, :3]
    )
    refuse(path, "observations has 4 columns, not 5 or more", observation_slice=5)


def test_overlong_stretches_are_cut_where_a_limit_is_known(tmp_path):
    flags = {"terminals": np.arange(25) == 21, "timeouts": np.arange(25) == 7}
    path = write_raw(tmp_path / "a.h5", raw_arrays(25, **flags))
    assert read_d4rl(path).lengths.tolist() == [8, 14, 3]
    limited = read_d4rl(path, max_episode_steps=5)
    assert limited.lengths.tolist() == [5, 3, 5, 5, 4, 3]
    assert np.flatnonzero(limited.terminals).tolist() == [21]


def test_an_episode_of_exactly_the_limit_is_cut_once(tmp_path):
    path = write_raw(tmp_path / "a.h5", raw_arrays(20, terminals=np.zeros(20), timeouts=np.arange(20) % 10 == 9))
    assert read_d4rl(path, max_episode_steps=10).lengths.tolist() == [10, 10]
    assert read_d4rl(path, max_episode_steps=9).lengths.tolist() == [9, 1, 9, 1]


def test_without_timeouts_episodes_end_at_terminals_and_after_1000_steps(tmp_path):
    arrays = raw_arrays(2500, terminals=np.arange(2500) == 99, timeouts=None)
    episodes = read_d4rl(write_raw(tmp_path / "a.h5", arrays))
    assert episodes.lengths.tolist() == [100, 1000, 1000, 400]
    assert episodes.terminals.sum() == 1


def test_with_timeouts_episodes_may_be_of_any_length(tmp_path):
    arrays = raw_arrays(2500, terminals=np.arange(2500) == 99, timeouts=np.arange(2500) == 2400)
    assert read_d4rl(write_raw(tmp_path / "a.h5", arrays)).lengths.tolist() == [100, 2301, 99]


def test_resets_without_a_flag_are_found_by_next_observations(tmp_path):
    arrays = raw_arrays(20, terminals=np.arange(20) == 3, timeouts=np.zeros(20))
    following = np.roll(arrays["observations"], -1, axis=0)
    following[[3, 11, 19]] += 1.0
    episodes = read_d4rl(write_raw(tmp_path / "a.h5", arrays | {"next_observations": following}))
    assert episodes.lengths.tolist() == [4, 8, 8]
    assert episodes.timeouts[11]
    assert not episodes.terminals[11]


def test_shuffled_rows_are_refused(tmp_path):
    arrays = raw_arrays(50, terminals=np.zeros(50), timeouts=np.zeros(50))
    following = np.random.default_rng(1).permutation(arrays["observations"])
    path = write_raw(tmp_path / "a.h5", arrays | {"next_observations": following})
    refuse(path, "next_observations differs .* in 4[0-9] rows")


@pytest.mark.parametrize("content", [b"", b"not a dataset at all", b"\x89HDF\r\n\x1a\n"])
def test_files_that_are_not_hdf5(tmp_path, content):
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    refuse(path, "cannot read")


def test_missing_file(tmp_path):
    refuse(tmp_path / "none.h5", "there is no file")
    refuse(tmp_path, "it is a folder, not a file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, share):
    path = tmp_path / "a.h5"
    write_d4rl(path, ragged(0, transitions=2000), {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refuse(path, "the file is truncated")


@pytest.mark.parametrize("signature", [b"TREE", b"HEAP", b"SNOD"])
def test_damaged_structure(tmp_path, signature):
    path = tmp_path / "a.h5"
    write_d4rl(path, ragged(0), {})
    path.write_bytes(path.read_bytes().replace(signature, b"XXXX"))
    refuse(path, "the file is damaged")


def test_missing_keys_are_named(tmp_path):
    path = write_raw(tmp_path / "a.h5", raw_arrays(actions=None, terminals=None))
    refuse(path, "has no actions, terminals")
    refuse(
        write_raw(tmp_path / "b.h5", raw_arrays(rewards=None) | {"rewards/x": np.zeros(3)}),
        "rewards is a group, not an array",
    )


@pytest.mark.parametrize("name", ["timeouts", "next_observations"])
def test_a_group_in_place_of_an_optional_array(tmp_path, name):
    path = write_raw(tmp_path / "a.h5", raw_arrays(timeouts=None) | {f"{name}/x": np.zeros(3)})
    refuse(path, f"{name} is a group, not an array")


def unknown_string_encoding(path):
    """Give the file an attribute whose text is in an encoding that HDF5 has reserved and h5py does not know."""
    with h5py.File(path, "a") as file:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(4)
        kind.set_cset(h5py.h5t.CSET_UTF8)
        h5py.h5a.create(file.id, b"env_id", kind, h5py.h5s.create(h5py.h5s.SCALAR))
    content = path.read_bytes()
    # The type's bit field: null-terminated (low four bits) text of encoding 1, UTF-8 (the next four).
    known, reserved = b"\x13\x10\x00\x00\x04\x00\x00\x00", b"\x13\x50\x00\x00\x04\x00\x00\x00"
    assert content.count(known) == 1
    path.write_bytes(content.replace(known, reserved))


def test_attributes_of_an_unknown_encoding(tmp_path):
    path = write_raw(tmp_path / "a.h5", raw_arrays())
    unknown_string_encoding(path)
    with pytest.raises(SeqrlError, match="the file is damaged") as error:
        read_attributes(path)
    assert str(path) in error.value.message and error.value.hint


def test_images_of_bytes_stay_bytes(tmp_path):
    path = tmp_path / "images.hdf5"
    images = np.arange(10 * 4 * 4, dtype=np.uint8).reshape(10, 4, 4)
    with h5py.File(path, "w") as file:
        file.update({"observations": images, "actions": np.zeros(10, np.int64), "rewards": np.zeros(10)})
        file["terminals"] = np.arange(10) == 9
    episodes = read_d4rl(path)
    assert episodes.observations.dtype == np.uint8 and np.array_equal(episodes.observations, images)


BAD_ARRAYS = {
    "images": ({"observations": np.zeros((10, 8, 8, 3), np.float32)}, r"observations has shape \(10, 8, 8, 3\)"),
    "flat actions": ({"actions": np.zeros(10)}, "actions has one number of type float64 per row"),
    "wide rewards": ({"rewards": np.zeros((10, 2))}, r"rewards has shape \(10, 2\)"),
    "scalar rewards": ({"rewards": np.zeros(())}, r"rewards has shape \(\)"),
    "short rewards": ({"rewards": np.zeros(9)}, "rewards has 9 rows, but observations has 10"),
    "long timeouts": ({"timeouts": np.zeros(11)}, "timeouts has 11 rows, but observations has 10"),
    "strings": ({"actions": np.full((10, 2), b"x")}, "actions contains .*, not numbers"),
    "objects": ({"observations": np.full((10, 2), "x", dtype=h5py.string_dtype())}, "observations contains object"),
    "complex": ({"rewards": np.zeros(10, complex)}, "rewards contains complex128, not numbers"),
    "flags that are numbers": ({"terminals": np.arange(10)}, "terminals is 2 at row 2, not 0 or 1"),
    "nan flags": ({"timeouts": np.full(10, np.nan)}, "timeouts is nan at row 0"),
    "beyond float32": ({"rewards": np.full(10, -1e300)}, r"rewards is -1e\+300 at row 0, which no float32 can hold"),
    "returns beyond float32": (
        {"rewards": np.full(10, 2e38)},
        "rewards of an episode add up to 8e\\+38, which no float32",
    ),
    "narrow next": ({"next_observations": np.zeros((10, 3))}, "next_observations has 3 columns"),
    "short next": ({"next_observations": np.zeros((9, 4))}, r"next_observations is \(9, 4\), not \(10, 4\)"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(tmp_path, name):
    changes, match = BAD_ARRAYS[name]
    refuse(write_raw(tmp_path / "a.h5", raw_arrays(**changes)), match)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
def test_values_that_are_not_finite_are_placed(tmp_path, name, value):
    arrays = raw_arrays()
    arrays[name].reshape(10, -1)[5, -1] = value
    column = "" if name == "rewards" else f", column {arrays[name].shape[1] - 1}"
    refuse(write_raw(tmp_path / "a.h5", arrays), f"{name} is {value} at row 5{column}\n")


def test_zero_transitions(tmp_path):
    refuse(write_raw(tmp_path / "a.h5", raw_arrays(0)), "contains no transitions")


def test_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.h5"
    write_d4rl(path, ragged(0), {})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_d4rl(path, ragged(1), {"bad": object()})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]
