"""How the one episode of an HDF5 group ended, whatever the column is called that tells."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset

LENGTHS = (5, 10, 7, 10)
ENDED = (True, False, True, False)
rng = np.random.default_rng(0)


def last(steps: int, mark: bool) -> np.ndarray:
    return (np.arange(steps) == steps - 1) & mark


def write(path: Path, kind: str = "episode", reward: float = 1.0, extra: int = 0, **marks) -> Path:
    """A group per episode; each mark is made by a function of its steps and of whether the environment ended it."""
    with h5py.File(path, "w") as file:
        for index, (steps, ended) in enumerate(zip(LENGTHS, ENDED, strict=True)):
            group = file.create_group(f"{kind}_{index}")
            group["observations"] = rng.normal(size=(steps + extra, 3))
            group["actions"] = rng.normal(size=(steps, 2))
            group["rewards"] = np.full(steps, reward)
            for name, mark in marks.items():
                group[name] = mark(steps, ended)
    return path


def read(path: Path, **options) -> tuple[Episodes, list[str]]:
    chosen = ReadOptions(**options)
    return read_dataset(path, chosen), chosen.log.warnings


def ends(episodes: Episodes) -> list[bool]:
    return [bool(episodes.terminals[stop - 1]) for stop in episodes.offsets[1:]]


@pytest.mark.parametrize("name", ["terminateds", "is_terminal", "is_terminated", "terms", "terminal"])
@pytest.mark.parametrize("extra", [0, 1])
def test_terminals_by_any_of_their_names(tmp_path, name, extra):
    found, warnings = read(write(tmp_path / "a.h5", extra=extra, **{name: last}))
    assert found.lengths.tolist() == list(LENGTHS) and ends(found) == list(ENDED) and not warnings


@pytest.mark.parametrize("name", ["masks", "not_done", "discount", "continue"])
def test_zeros_of_what_goes_on(tmp_path, name):
    path = write(tmp_path / "a.h5", reward=-1.0, **{name: lambda steps, ended: 1.0 - last(steps, ended)})
    assert ends(read(path)[0]) == list(ENDED)


def test_without_a_mark_all_are_step_limits_and_a_warning_says_so(tmp_path):
    found, warnings = read(write(tmp_path / "a.h5"))
    assert not any(ends(found)) and "all of them count as step limits" in warnings[0]


@pytest.mark.parametrize("reward", [1.0, -1.0])
def test_dones_beside_truncated_are_clear(tmp_path, reward):
    marks = {"dones": lambda steps, _: last(steps, True), "truncated": lambda steps, ended: last(steps, not ended)}
    assert ends(read(write(tmp_path / "a.h5", reward=reward, **marks))[0]) == list(ENDED)


def test_the_users_word_on_dones_counts(tmp_path):
    path = write(tmp_path / "a.h5", reward=-1.0, dones=last)
    assert ends(read(path, dones="terminals")[0]) == list(ENDED)


def test_robomimics_dones_are_terminals_where_the_last_reward_is_above_zero(tmp_path):
    path = write(tmp_path / "a.h5", kind="demo", dones=lambda steps, _: last(steps, True))
    assert all(ends(read(path)[0]))


def test_flags_may_belong_to_observations(tmp_path):
    path = write(tmp_path / "a.h5", extra=1, terminated=lambda steps, ended: last(steps + 1, ended))
    assert ends(read(path)[0]) == list(ENDED)


def test_the_last_row_in_rlds_layout_has_no_action(tmp_path):
    marks = {
        "is_first": lambda steps, _: np.arange(steps) == 0,
        "is_last": lambda steps, _: last(steps, True),
        "is_terminal": last,
    }
    path = write(tmp_path / "a.h5", **marks)
    with h5py.File(path, "a") as file:
        for group in file.values():
            group["actions"][-1], group["rewards"][-1] = 0, 0
    found, _ = read(path)
    assert found.lengths.tolist() == [steps - 1 for steps in LENGTHS] and ends(found) == list(ENDED)


@pytest.mark.parametrize("name", ["terminals", "terminated", "dones"])
def test_numbered_arrays(tmp_path, name):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index, (steps, ended) in enumerate(zip(LENGTHS, ENDED, strict=True)):
            file[f"observations_{index}"] = rng.normal(size=(steps, 3))
            file[f"actions_{index}"] = rng.normal(size=(steps, 2))
            file[f"rewards_{index}"] = np.ones(steps)
            file[f"{name}_{index}"] = last(steps, ended)
    assert ends(read(tmp_path / "a.h5")[0]) == list(ENDED)


def test_recordings_in_groups_are_cut_at_the_step_limit(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for worker in range(2):
            group = file.create_group(f"worker_{worker}")
            group["observations"], group["actions"] = rng.normal(size=(300, 3)), rng.normal(size=(300, 2))
            group["rewards"], group["terminals"] = np.ones(300), np.isin(np.arange(300), (50, 280))
    assert read(tmp_path / "a.h5", step_limit=100)[0].lengths.max() == 100


def test_a_group_ends_at_its_last_row_whatever_is_marked_before(tmp_path):
    path = write(tmp_path / "a.h5", terminated=lambda steps, _: np.arange(steps) >= steps - 3)
    found, _ = read(path)
    assert found.lengths.tolist() == list(LENGTHS) and all(ends(found))


@pytest.mark.parametrize(
    "extra",
    [
        {"start": lambda *_: np.array([0, 3])},
        {"last": lambda steps, _: np.array([2, steps])},
        {"final": lambda *_: np.array([0.1, 0.2, 0.3])},
        {"time_limit": lambda *_: 200},
        {"termination": lambda *_: "fell"},
        {"truncated": lambda steps, _: np.full(steps, 0.5)},
        {"timeouts": lambda steps, _: np.full(steps, np.nan)},
        {"mask": lambda steps, _: np.zeros((steps, 40, 40), np.uint8)},
        {"ep_len": lambda steps, _: steps - 1},
        {"is_first": lambda steps, _: np.zeros(steps, bool)},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_other_things_under_names_of_marks_change_nothing(tmp_path, extra):
    found, warnings = read(write(tmp_path / "a.h5", terminated=last, **extra))
    assert found.lengths.tolist() == list(LENGTHS) and ends(found) == list(ENDED) and not warnings


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"truncated": lambda steps, _: np.zeros(steps, bool)},
        {"is_first": lambda steps, _: np.arange(steps) == 0},
        {"episode_length": lambda steps, _: steps},
        {"termination": lambda *_: "success"},
    ],
    ids=lambda beside: next(iter(beside), "alone"),
)
def test_success_is_a_terminal_where_nothing_else_tells(tmp_path, beside):
    assert ends(read(write(tmp_path / "a.h5", success=last, **beside))[0]) == list(ENDED)


@pytest.mark.parametrize("values", [lambda flags: 255 * flags, lambda flags: np.stack([flags] * 3, axis=1)])
def test_odd_forms_of_the_only_flag(tmp_path, values):
    path = write(tmp_path / "a.h5", terminated=lambda steps, ended: values(last(steps, ended).astype(np.uint8)))
    assert ends(read(path)[0]) == list(ENDED)


def test_recordings_in_groups_without_a_known_step_limit_are_not_cut(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("worker_0")
        group["observations"], group["actions"] = rng.normal(size=(2600, 3)), rng.normal(size=(2600, 2))
        group["rewards"], group["terminals"] = np.ones(2600), np.isin(np.arange(2600), (1299, 2599))
    assert read(tmp_path / "a.h5")[0].lengths.tolist() == [1300, 1300]
