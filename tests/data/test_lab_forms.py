"""Honest forms of recordings in which ends, padding or columns were once misread."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.data.formats.arrays import read_episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError

LENGTHS = [20, 12, 7, 20]
ROWS, MOST = sum(LENGTHS), max(LENGTHS)
rng = np.random.default_rng(0)
STATES = [rng.normal(size=(length + 1, 3)).cumsum(0) for length in LENGTHS]
ACTIONS = [rng.normal(size=(length, 2)) for length in LENGTHS]
REWARDS = [rng.normal(size=length) for length in LENGTHS]
ENDS = [np.arange(length) == length - 1 for length in LENGTHS]
FLAT = {
    "observations": np.concatenate([states[:-1] for states in STATES]),
    "actions": np.concatenate(ACTIONS),
    "rewards": np.concatenate(REWARDS),
    "terminals": np.concatenate([ends & (index % 2 == 0) for index, ends in enumerate(ENDS)]),
}
IDS = np.repeat(np.arange(len(LENGTHS)), LENGTHS)


def zeros_behind(parts: list[np.ndarray], most: int = MOST) -> np.ndarray:
    return np.stack([np.concatenate([part, np.zeros((most - len(part), *part.shape[1:]))]) for part in parts])


def copies_behind(parts: list[np.ndarray], most: int = MOST) -> np.ndarray:
    return np.stack([np.concatenate([part, np.repeat(part[-1:], most - len(part), axis=0)]) for part in parts])


def read(folder: Path, columns: dict, log: ReadingLog | None = None):
    np.savez(folder / "a.npz", **columns)
    return read_dataset(folder / "a.npz", ReadOptions(log=log or ReadingLog()))


STEPS = [states[:-1] for states in STATES]
PADDED = {"actions": zeros_behind(ACTIONS), "rewards": zeros_behind(REWARDS), "terminals": zeros_behind(ENDS)}
STAY = np.maximum.accumulate(PADDED["terminals"], axis=1)
MASK = zeros_behind([np.ones(length) for length in LENGTHS])
FORMS = {
    "zeros": {"observations": zeros_behind(STEPS)},
    "last rows again": {"observations": copies_behind(STEPS), "actions": copies_behind(ACTIONS)},
    "last observations again": {"observations": copies_behind(STEPS)},
    "marks that stay": {"observations": copies_behind(STEPS), "terminals": STAY},
    "one more": {"observations": zeros_behind(STATES, MOST + 1)},
    "one more, again": {"observations": copies_behind(STATES, MOST + 1)},
    "one more, marks that stay": {"observations": zeros_behind(STATES, MOST + 1), "terminals": STAY},
    "one more, a mask": {"observations": zeros_behind(STATES, MOST + 1), "mask": MASK},
    "one more, lengths": {"observations": zeros_behind(STATES, MOST + 1), "lengths": np.array(LENGTHS)},
}


@pytest.mark.parametrize("form", FORMS)
def test_padding_of_stacked_episodes(tmp_path, form):
    log = ReadingLog()
    found = read(tmp_path, {**PADDED, **FORMS[form]}, log)
    assert found.lengths.tolist() == LENGTHS and found.terminals.sum() == len(LENGTHS)
    np.testing.assert_array_equal(found.observations, FLAT["observations"].astype(np.float32))
    np.testing.assert_array_equal(found.rewards, FLAT["rewards"].astype(np.float32))
    assert not log.warnings


def test_rows_that_differ_after_an_end_are_an_episode(tmp_path):
    observations = copies_behind(STEPS)
    observations[1, -1] += 1
    assert read(tmp_path, {**PADDED, "observations": observations}).lengths.tolist() == [20, 12, 8, 7, 20]


OTHER_THINGS = {
    "eps": np.linspace(1, 0, ROWS),
    "ep": np.cumsum(FLAT["rewards"]),
    "demo": np.arange(ROWS) < 10,
    "n_steps": np.ones(ROWS, int),
    "num_steps": np.array([ROWS]),
    "limit": np.full(ROWS, 2),
    "valid": np.ones(ROWS, int),
}


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_names_that_mean_something_else_end_no_episode(tmp_path, name):
    both = {**FLAT, "truncated": np.concatenate([ends & (index % 2) for index, ends in enumerate(ENDS)])}
    assert read(tmp_path, {**both, name: OTHER_THINGS[name]}).lengths.tolist() == LENGTHS
    log = ReadingLog()
    before = read(tmp_path, FLAT)
    assert read(tmp_path, {**FLAT, name: OTHER_THINGS[name]}, log).lengths.tolist() == before.lengths.tolist()
    assert not any("episode_lengths" in warning for warning in log.warnings)


def test_episodes_that_stand_still_are_no_padding(tmp_path):
    still = {"observations": np.ones((30, 1)), "actions": np.zeros(30, int), "rewards": np.zeros(30)}
    found = read_episodes([{**still, "terminals": np.arange(30) % 10 == 9}], ReadOptions())
    assert found.lengths.tolist() == [10] * 3
    found = read_episodes([{**still, "terminals": np.arange(30) == 9, "timeouts": np.arange(30) == 29}], ReadOptions())
    assert found.lengths.tolist() == [10, 20]


BOUNDS = np.cumsum([0, *LENGTHS])
CLOCK = np.concatenate([0.05 * np.arange(length) for length in LENGTHS])
NOT_UNDERSTOOD = {
    "episode_data_index": (np.stack([BOUNDS[:-1], BOUNDS[1:]], axis=1), "rows of episodes"),
    "num_steps": (np.array(LENGTHS), "lengths of episodes"),
    "timestamp": (CLOCK, "starts again with each episode"),
    "ep": (IDS, "marks ends of episodes"),
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_columns_that_may_tell_of_ends_are_named(tmp_path, name):
    column, message = NOT_UNDERSTOOD[name]
    log = ReadingLog()
    read(tmp_path, {**FLAT, name: column}, log)
    assert any(name in warning and message in warning for warning in log.warnings)


def test_a_clock_that_runs_on_is_no_doubt(tmp_path):
    log = ReadingLog()
    read(tmp_path, {**FLAT, "timestamp": 0.05 * np.arange(ROWS)}, log)
    assert not log.warnings


def test_columns_that_are_not_read_are_listed(tmp_path):
    log = ReadingLog()
    read(tmp_path, {**FLAT, "proprio": np.zeros((ROWS, 2)), "note": np.array("by hand")}, log)
    assert log.left_out == ["proprio", "note"] and log.facts["not_read"] == "proprio, note"
    images = rng.integers(0, 255, (ROWS, 8, 8, 3), dtype=np.uint8)
    columns = {name: column for name, column in FLAT.items() if name != "observations"}
    assert read(tmp_path, {**columns, "image": images, "proprio": np.zeros((ROWS, 2))}, log).observations.ndim == 4
    assert "only images are observed; left out proprio" in log.remarks


def write_demonstrations(path: Path, rewards: list[np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for index, (states, actions, earned, ends) in enumerate(zip(STATES, ACTIONS, rewards, ENDS, strict=True)):
            group = file.create_group(f"data/demo_{index}")
            group.update({"obs/object": states[:-1], "actions": actions, "rewards": earned, "dones": ends})
    return path


def test_shaped_rewards_of_demonstrations_do_not_tell_success(tmp_path):
    shaped = [rng.uniform(0.01, 0.5, length) for length in LENGTHS]
    path = write_demonstrations(tmp_path / "a.h5", shaped)
    with pytest.raises(SeqrlError, match="dones may mark only that a demonstration stopped"):
        read_dataset(path)
    assert read_dataset(path, ReadOptions(dones="ends")).terminals.sum() == LENGTHS.count(MOST)
    assert read_dataset(path, ReadOptions(dones="terminals")).terminals.sum() == len(LENGTHS)


def test_one_demonstration_with_stages_does_not_decide_for_the_others(tmp_path):
    rewards = [np.arange(length) == length - 1 for length in LENGTHS]
    rewards[1] = rewards[1] + 0.25 * (np.arange(LENGTHS[1]) == 3)
    path = write_demonstrations(tmp_path / "a.h5", [part.astype(float) for part in rewards])
    with pytest.raises(SeqrlError, match="dones may mark only that a demonstration stopped"):
        read_dataset(path)


def test_penalties_per_step_do_not_hide_success(tmp_path):
    rewards = [np.where(np.arange(length) == length - 1, 1 - (length == 12), 0) - 0.01 for length in LENGTHS]
    assert read_dataset(write_demonstrations(tmp_path / "a.h5", rewards)).terminals.sum() == len(LENGTHS) - 1


def test_success_tells_of_demonstrations_with_shaped_rewards(tmp_path):
    path = write_demonstrations(tmp_path / "a.h5", [rng.uniform(0.01, 0.5, length) for length in LENGTHS])
    with h5py.File(path, "a") as file:
        for index, ends in enumerate(ENDS):
            file[f"data/demo_{index}/success"] = ends & (index > 1)
    log = ReadingLog()
    assert read_dataset(path, ReadOptions(log=log)).terminals.sum() == 2 and "success" not in log.left_out


def test_padding_in_groups_with_one_more_observation(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index in range(len(LENGTHS)):
            group = file.create_group(f"episode_{index}")
            group["observations"] = zeros_behind(STATES, MOST + 1)[index]
            group.update({name: column[index] for name, column in PADDED.items() if name != "terminals"})
            group["terminals"] = STAY[index]
    assert read_dataset(tmp_path / "a.h5").lengths.tolist() == LENGTHS


def test_rewards_of_success_do(tmp_path):
    solved = [ends.astype(float) * (index != 1) for index, ends in enumerate(ENDS)]
    assert read_dataset(write_demonstrations(tmp_path / "a.h5", solved)).terminals.sum() == len(LENGTHS) - 1


def test_last_rows_of_rlds_without_first_rows_are_dropped(tmp_path):
    def with_last(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.concatenate([part, np.zeros((1, *part.shape[1:]))]) for part in parts])

    ends = np.concatenate([np.arange(length + 1) == length for length in LENGTHS])
    columns = {
        "observation": np.concatenate(STATES),
        "action": with_last(ACTIONS),
        "reward": with_last(REWARDS),
        "is_last": ends,
        "is_terminal": ends,
    }
    found = read(tmp_path, columns)
    assert found.lengths.tolist() == LENGTHS and found.terminals.sum() == len(LENGTHS)
    np.testing.assert_array_equal(found.actions, FLAT["actions"].astype(np.float32))


@pytest.mark.parametrize("form", [float, int, np.uint8, bool])
def test_choices_in_places_are_asked_about(tmp_path, form):
    log = ReadingLog()
    choices = np.eye(3)[rng.integers(0, 3, ROWS)].astype(form)
    assert read(tmp_path, {**FLAT, "actions": choices}, log).actions.shape == (ROWS, 3)
    assert any("1 in one of 3 places" in warning for warning in log.warnings)


@pytest.mark.parametrize("form", [float, bool])
def test_single_numbers_that_are_no_integers_may_be_either(tmp_path, form):
    with pytest.raises(SeqrlError, match="one number of type") as error:
        read(tmp_path, {**FLAT, "actions": rng.integers(0, 2, ROWS).astype(form)})
    assert "actions[:, None]" in error.value.hint and "astype(int)" in error.value.hint


def test_flags_of_whole_episodes_beside_arrays_of_objects(tmp_path):
    def objects(parts: list[np.ndarray]) -> np.ndarray:
        found = np.empty(len(parts), dtype=object)
        found[:] = parts
        return found

    columns = {"observations": objects(STATES), "actions": objects(ACTIONS), "rewards": objects(REWARDS)}
    found = read(tmp_path, {**columns, "terminated": np.array([True, False, True, False])})
    assert found.lengths.tolist() == LENGTHS and found.terminals.sum() == 2
