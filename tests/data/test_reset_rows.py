"""Dreamer's layout, in which a row's action led to its observation, and RLDS's, whose last rows have no action."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.errors import SeqrlError
from tests.data.files import write_npz, write_pickle
from tests.data.recordings import Recording, assert_read

PLAYED = Recording((20, 7, 20, 13, 20), (False, True, False, True, False))
RENAMED = {"observation": "observations", "action": "actions", "reward": "rewards", "is_terminal": "terminals"}


def steps(*, reset_first: bool, recording: Recording = PLAYED, sparse: bool = False) -> list[dict[str, np.ndarray]]:
    """One dictionary per episode with a row more than steps: the first without an action, or the last."""
    found = []
    for one, fell in zip(recording.episodes(), recording.fell, strict=True):
        rows = len(one["observations"])
        last = np.arange(rows) == rows - 1
        pad = ((1, 0), (0, 0)) if reset_first else ((0, 1), (0, 0))
        rewards = one["rewards"] * (np.arange(rows - 1) == rows - 2) if sparse else one["rewards"]
        found.append(
            {
                **{"observation": one["observations"], "action": np.pad(one["actions"], pad)},
                **{"reward": np.pad(rewards, pad[0]), "discount": 1.0 - (last & fell)},
                **{"is_first": np.arange(rows) == 0, "is_last": last, "is_terminal": last & fell},
            }
        )
    return found


def folder_of(path, parts):
    path.mkdir()
    for index, part in enumerate(parts):
        write_npz(path / f"{index}.npz", part)
    return path


def joined(parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


@pytest.mark.parametrize("reset_first", [True, False], ids=["dreamer", "rlds"])
def test_rows_without_an_action(tmp_path, reset_first):
    parts = steps(reset_first=reset_first)
    for path in (
        folder_of(tmp_path / "folder", parts),
        write_npz(tmp_path / "flat.npz", joined(parts)),
        write_pickle(tmp_path / "list.pkl", parts),
    ):
        options = ReadOptions(step_limit=20)
        assert_read(read_dataset(path, options), PLAYED)
        assert "every episode" in options.log.note


def test_one_episode(tmp_path):
    played = Recording((9,), (True,))
    (part,) = steps(reset_first=True, recording=played)
    assert_read(read_dataset(write_npz(tmp_path / "a.npz", part)), played)


@pytest.mark.parametrize("kept", [("is_first", "is_last"), ()], ids=["with flags", "bare"])
def test_renamed_columns(tmp_path, kept):
    parts = [{RENAMED.get(key, key): part[key] for key in (*RENAMED, *kept)} for part in steps(reset_first=True)]
    assert_read(read_dataset(folder_of(tmp_path / "a", parts)), PLAYED)


def test_the_user_is_asked_where_rewards_do_not_tell(tmp_path):
    parts = [{RENAMED[key]: part[key] for key in RENAMED} for part in steps(reset_first=True, sparse=True)]
    folder = folder_of(tmp_path / "a", parts)
    with pytest.raises(SeqrlError, match="begins with an action of zeros") as error:
        read_dataset(folder)
    assert "data.reset_rows=true" in error.value.hint and "data.reset_rows=false" in error.value.hint
    assert read_dataset(folder, ReadOptions(reset_rows=True)).lengths.tolist() == list(PLAYED.lengths)
    lengths = [length + 1 for length in PLAYED.lengths]
    assert read_dataset(folder, ReadOptions(reset_rows=False)).lengths.tolist() == lengths
    options = ReadOptions(finite=False)
    assert read_dataset(folder, options).lengths.tolist() == lengths
    assert "data.reset_rows" in options.log.warnings[0]


def test_only_reset_rows(tmp_path):
    (part,) = steps(reset_first=True, recording=Recording((4,), (True,)))
    path = write_npz(tmp_path / "a.npz", {key: column[:1] for key, column in part.items()})
    with pytest.raises(SeqrlError, match="nothing but reset rows"):
        read_dataset(path, ReadOptions(reset_rows=True))


def test_ordinary_recordings_stay(tmp_path):
    columns = {**PLAYED.arrays(), "is_first": PLAYED.first, "is_terminal": PLAYED.terminals}
    assert_read(read_dataset(write_npz(tmp_path / "a.npz", columns)), PLAYED)
    columns["actions"][PLAYED.first] = 0  # begins at rest, and is rewarded
    assert read_dataset(write_npz(tmp_path / "b.npz", columns)).lengths.tolist() == list(PLAYED.lengths)
