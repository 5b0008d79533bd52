"""The published replay of DQN on Atari, on small files of just its form, and what is refused."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.config.extras import is_installed
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import content_sha256, read_dataset
from seqrl_cli.errors import SeqrlError

ROWS = 12


def columns(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    terminal = np.zeros(ROWS, np.uint8)
    terminal[[4, 9]] = 1
    return {
        "observation": rng.integers(0, 256, (ROWS, 84, 84)).astype(np.uint8),
        "action": rng.integers(0, 6, ROWS).astype(np.int32),
        "reward": rng.integers(-1, 2, ROWS).astype(np.float32),
        "terminal": terminal,
    }


def path_of(folder: Path, name: str, number: int) -> Path:
    return folder / "replay_logs" / f"$store$_{name}_ckpt.{number}.gz"


def write(path: Path, array: np.ndarray) -> None:
    plain = io.BytesIO()
    np.save(plain, array)
    path.write_bytes(gzip.compress(plain.getvalue()))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two slices of a training, numbered so that their names' order is not theirs, and the files beside them."""
    (tmp_path / "replay_logs").mkdir()
    for number in (2, 10):
        for name, array in columns(number).items():
            write(path_of(tmp_path, name, number), array)
        for other in ("add_count", "invalid_range"):
            write(tmp_path / "replay_logs" / f"{other}_ckpt.{number}.gz", np.arange(3))
    return tmp_path


@pytest.mark.parametrize("inner", ["", "replay_logs"])
def test_slices_are_read_in_their_order(folder, inner):
    episodes = read_dataset(folder / inner)
    assert episodes.lengths.tolist() == [5, 5, 2] * 2  # a slice ends within an episode
    assert episodes.terminals.sum() == 4 and episodes.timeouts.sum() == 2
    assert episodes.observations.dtype == np.uint8 and episodes.observations.shape == (24, 84, 84)
    for start, number in ((0, 2), (ROWS, 10)):
        wanted = columns(number)
        rows = slice(start, start + ROWS)
        assert np.array_equal(episodes.observations[rows], wanted["observation"])
        assert np.array_equal(episodes.actions[rows], wanted["action"])
        assert np.array_equal(episodes.rewards[rows], wanted["reward"])


def test_the_hash_is_of_all_columns(folder):
    before = content_sha256(folder)
    write(path_of(folder, "reward", 10), columns(3)["reward"])
    assert content_sha256(folder) != before


def _shorter(array: np.ndarray) -> bytes:
    plain = io.BytesIO()
    np.save(plain, array)
    return gzip.compress(plain.getvalue()[:-4])


_HUGE = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**12},)}}".encode().ljust(117) + b"\n"
WRONG = {
    "fewer bytes": ("reward", _shorter(columns(2)["reward"]), "states shape"),
    "a cut file": ("terminal", gzip.compress(b"\x93NUMPY" * 40)[:30], "cannot read"),
    "no archive": ("action", b"no archive", "cannot read"),
    "terabytes": ("observation", gzip.compress(b"\x93NUMPY\x01\x00\x76\x00" + _HUGE), "cannot contain"),
}


@pytest.mark.parametrize("case", WRONG)
def test_damaged_files_are_named_and_left_out_on_request(folder, case):
    name, content, message = WRONG[case]
    path_of(folder, name, 2).write_bytes(content)
    with pytest.raises(SeqrlError, match=message) as caught:
        read_dataset(folder)
    assert f"_{name}_ckpt.2.gz" in caught.value.message and "data.skip_damaged=true" in caught.value.hint
    options = ReadOptions(skip_damaged=True)
    assert len(read_dataset(folder, options)) == 3 and "left out slice 2" in options.log.warnings[0]


def test_objects_are_not_read(folder):
    write(path_of(folder, "action", 2), np.array([{"a": 1}] * ROWS))
    with pytest.raises(SeqrlError, match="objects"):
        read_dataset(folder)


def test_a_missing_or_unfit_column_is_named(folder):
    write(path_of(folder, "reward", 2), np.zeros(5, np.float32))
    with pytest.raises(SeqrlError, match=r"float32 of shape \(5,\), which does not fit 12 observations"):
        read_dataset(folder)
    path_of(folder, "reward", 2).unlink()
    with pytest.raises(SeqrlError, match=r"has no \$store\$_reward_ckpt.2.gz"):
        read_dataset(folder)


@pytest.mark.skipif(not is_installed("atari"), reason="ale_py is not installed")
def test_actions_get_the_numbers_of_all_games(folder, tmp_path):
    from seqrl_cli.envs.fit import fit_environment, with_all_actions

    episodes = read_dataset(folder)
    pong = with_all_actions(episodes, "atari/Pong", "the data")
    assert np.array_equal(pong.actions, np.array([0, 1, 3, 4, 11, 12])[episodes.actions])  # fire, right, left …
    fitted, facts = fit_environment(pong, "atari/Pong", "the data")
    assert facts["env_id"] == "atari/Pong" and fitted.spaces.action.n == 18
    with pytest.raises(SeqrlError, match="the action 5, but atari/Freeway has 3 with an effect"):
        with_all_actions(episodes, "atari/Freeway", "the data")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("reward", np.full(ROWS, 1e300), "reward.* is 1e.300 at row 0, which no float32 can hold"),
        ("reward", np.full(ROWS, np.nan, np.float32), "reward.* is nan at row 0"),
        ("action", np.full(ROWS, -1), "action.* contains the choice -1"),
        ("terminal", np.full(ROWS, np.nan, np.float32), "not finite"),
    ],
)
def test_values_that_no_dataset_may_have_are_named_with_their_file(folder, name, array, message):
    write(path_of(folder, name, 2), array)
    with pytest.raises(SeqrlError, match=message) as error:
        read_dataset(folder)
    assert path_of(folder, name, 2).name in error.value.message


@pytest.mark.parametrize("shape", [(0, 10**30), (0, -3), (-1, -3), (True,)])
def test_shapes_that_no_array_has_are_refused(folder, shape):
    plain = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(plain, header)
    path_of(folder, "reward", 2).write_bytes(gzip.compress(plain.getvalue()))
    with pytest.raises(SeqrlError, match="cannot read|does not fit"):
        read_dataset(folder)
