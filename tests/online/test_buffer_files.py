from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.formats.d4rl import read_attributes, read_d4rl
from seqrl_cli.errors import SeqrlError
from seqrl_cli.online.buffer_files import BufferFolder
from tests.models.policies import make_choices
from tests.online.trajectories import trajectory


@pytest.fixture
def folder(tmp_path) -> BufferFolder:
    return BufferFolder(tmp_path / "buffer", "Hopper-v4")


def same(ours, theirs) -> bool:
    names = ("observations", "actions", "rewards")
    arrays = all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in names)
    return arrays and ours.terminated == theirs.terminated


def test_what_was_appended_is_read_in_order(folder):
    offline = [trajectory(3, 1.5), trajectory(1, 2.5, terminated=False)]
    online = [trajectory(4, 9.0, terminated=False)]
    files = [folder.append(0, offline), folder.append(2, online)]
    read = [one for file in files for one in folder.read(file)]
    assert all(same(*pair) for pair in zip(read, offline + online, strict=True))
    assert [(file.first, file.end) for file in files] == [(0, 2), (2, 3)]


def test_appending_leaves_earlier_files_untouched(folder):
    folder.append(0, [trajectory(3, 1.0)])
    first = folder.path / "00000000.h5"
    before, written = first.read_bytes(), first.stat().st_mtime_ns
    folder.append(1, [trajectory(3, 2.0)])
    assert first.read_bytes() == before and first.stat().st_mtime_ns == written


def test_the_same_trajectories_make_the_same_bytes(folder, tmp_path):
    again = BufferFolder(tmp_path / "again", "Hopper-v4")
    assert folder.append(7, [trajectory(3, 1.0)]) == again.append(7, [trajectory(3, 1.0)])


def test_a_file_is_a_dataset_by_itself(folder):
    folder.append(4, [trajectory(3, 1.0), trajectory(2, 5.0)])
    path = folder.path / "00000004.h5"
    assert len(read_d4rl(path)) == 2 and read_attributes(path)["env_id"] == "Hopper-v4"


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_file_is_named_before_libhdf5_sees_it(folder, damage):
    file = folder.append(0, [trajectory(30, 1.0)])
    path = folder.path / "00000000.h5"
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-40] if damage == "cut" else b"\0" * 300 + content[300:])
    with pytest.raises(SeqrlError, match="00000000.h5"):
        folder.read(file)


def test_only_what_a_checkpoint_needs_is_kept(folder):
    files = [folder.append(first, [trajectory(2, first)]) for first in range(4)]
    (folder.path / ".00000004-left.tmp.h5").write_bytes(b"torn")
    folder.keep_only(files[2:])
    assert sorted(path.name for path in folder.path.iterdir()) == ["00000002.h5", "00000003.h5"]


@pytest.mark.parametrize("shape", [(4,), (6, 5), (6, 5, 3)])
def test_choices_and_images_are_read_as_they_were_appended(folder, shape):
    made = make_choices(shape=shape)
    read = folder.read(folder.append(0, made))
    assert all(same(*pair) for pair in zip(read, made, strict=True))
    for name in ("observations", "actions"):
        assert {getattr(one, name).dtype for one in read} == {getattr(one, name).dtype for one in made}
