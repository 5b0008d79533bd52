"""Datasets in files of every format hold the same episodes; files that are bad are refused in one sentence."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.pickled_episodes import MAX_BYTES
from seqrl_cli.data.formats.read import content_sha256, read_attributes, read_dataset, recordings, stamp
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.machine import RefusedFileError
from tests.data.conftest import ragged
from tests.data.files import (
    FORMATS,
    KEYS,
    assert_equal,
    each,
    folder_of,
    one_array_an_entry,
    raw_arrays,
    write_npz,
    write_pickle,
    write_raw,
)
from tests.interop.hostile import live, twisted
from tests.interop.spelling import dict_of, text


@pytest.mark.parametrize("what", FORMATS)
def test_every_format_holds_the_same_episodes(tmp_path, what):
    episodes = ragged(3)
    path = FORMATS[what](tmp_path, episodes)
    expected = episodes
    if "columns" not in what and "ending" not in what and what not in ("npz", "npz, compressed"):
        # An episode that is a dictionary or a file ends where that ends; nothing else tells of timeouts.
        expected = Episodes.from_flags(
            *(getattr(episodes, key) for key in KEYS[:-1]), episodes.timeouts & ~episodes.terminals
        )
    assert_equal(read_dataset(path), expected)
    assert read_attributes(path) == {}


def test_long_recordings_in_files_of_their_own_are_not_cut(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    arrays = raw_arrays(2500, terminals=np.zeros(2500), timeouts=None)
    write_npz(folder / "x.npz", arrays)
    assert read_dataset(folder).lengths.tolist() == [2500]
    assert read_dataset(folder / "x.npz").lengths.tolist() == [1000, 1000, 500]
    assert read_dataset(folder, ReadOptions(max_episode_steps=2000)).lengths.tolist() == [2000, 500]


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    for index in (10, 9, 100, 1):
        write_npz(
            tmp_path / f"episode-{index}.npz",
            raw_arrays(4, terminals=np.zeros(4), timeouts=None, rewards=np.full(4, index)),
        )
    assert read_dataset(tmp_path).rewards[::4].tolist() == [1, 9, 10, 100]
    assert [path.stem for path in recordings(tmp_path)] == ["episode-1", "episode-9", "episode-10", "episode-100"]
    (tmp_path / "1²2.npz").touch()  # a digit to Python, and no number
    assert len(recordings(tmp_path)) == 5


def folder_of_three(folder: Path) -> Path:
    folder.mkdir()
    for index in range(3):
        write_npz(folder / f"ep_{index}.npz", raw_arrays(4))
    return folder


def test_a_link_that_leads_nowhere_is_a_file_that_cannot_be_read(tmp_path):
    folder = folder_of_three(tmp_path / "a")
    (folder / "ep_1.npz").unlink()
    (folder / "ep_1.npz").symlink_to("/nowhere/ep_1.npz")
    with pytest.raises(SeqrlError, match=r"there is no file .*ep_1\.npz"):
        read_dataset(folder)
    options = ReadOptions(skip_damaged=True)
    assert read_dataset(folder, options).transitions == 8 and "1 of 3 files, ep_1.npz" in options.log.warnings[0]
    assert content_sha256(folder) and len(stamp(folder)) == 2


def test_one_recording_in_two_formats_is_not_read_twice(tmp_path):
    folder = folder_of_three(tmp_path / "a")
    write_raw(folder / "ep_1.h5", raw_arrays(4))
    with pytest.raises(SeqrlError, match=r"contains ep_1\.h5 and ep_1\.npz"):
        read_dataset(folder)


def test_what_else_might_be_recordings_is_warned_of(tmp_path):
    folder = folder_of_three(tmp_path / "a")
    folder_of_three(folder / "more")
    (folder / "ep_3.npz.gz").touch()
    (folder / "notes").mkdir()
    (folder / "README.md").touch()
    options = ReadOptions()
    assert read_dataset(folder, options).transitions == 12
    assert [warning.partition(";")[0] for warning in options.log.warnings] == [
        "ep_3.npz.gz in a is not read",
        "more in a is not read",
    ]


def test_content_and_stamp_tell_changes(tmp_path):
    folder = folder_of(tmp_path / "a", ragged(0))
    before, state = content_sha256(folder), stamp(folder)
    (folder / "README.md").write_text("changed")
    assert (content_sha256(folder), stamp(folder)) == (before, state)
    write_npz(folder / "episode 0.npz", raw_arrays(3))
    assert content_sha256(folder) != before and stamp(folder) != state


def refuse(path: Path, match: str, kind: type[SeqrlError] = SeqrlError) -> SeqrlError:
    with pytest.raises(kind, match=match) as error:
        read_dataset(path)
    assert str(path) in error.value.message and error.value.hint and "\n" not in error.value.message + error.value.hint
    return error.value


MISSPELT = {
    "obervations": ("observations", "'obervations' to 'observations'"),
    "terminls": ("terminals", "'terminls' to 'terminals'"),
    "revards": ("rewards", "'revards' to 'rewards'"),
}


@pytest.mark.parametrize("write", [write_npz, write_raw, write_pickle], ids=["npz", "hdf5", "pickle"])
@pytest.mark.parametrize("wrong", MISSPELT)
def test_misspelt_names_are_told_beside_what_they_may_mean(tmp_path, write, wrong):
    right, hint = MISSPELT[wrong]
    arrays = raw_arrays()
    arrays[wrong] = arrays.pop(right)
    suffix = {"write_npz": ".npz", "write_raw": ".h5", "write_pickle": ".pkl"}[write.__name__]
    error = refuse(write(tmp_path / f"a{suffix}", arrays), f"has no {right} .it has .*{wrong}")
    assert hint in error.hint


def bad_npz(**changes) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **raw_arrays(**changes))
    return buffer.getvalue()


def header(shape: str = "(10, 4)", descr: str = "'<f4'", data: bytes = bytes(160), rest: str = "") -> bytes:
    """An archive whose observations have a header of one's own."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {rest}}}".encode()
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + data
    buffer = io.BytesIO(bad_npz(observations=None))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("observations.npy", member)
    return buffer.getvalue()


def bomb() -> bytes:
    """A gigabyte of zeros in a megabyte, and the header that goes with it."""
    buffer = io.BytesIO(bad_npz(observations=None))
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (16777216, 16), }\n"
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("observations.npy", "w") as member:
        member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
        for _ in range(64):
            member.write(bytes(2**24))
    return buffer.getvalue()


BAD_NPZ = {
    "nothing": (b"", "the file is empty"),
    "text": (b"not an archive", "not an .npz archive"),
    "truncated": (bad_npz()[:-30], "truncated"),
    "half": (bad_npz()[:600], "truncated"),
    "a flipped bit": (bad_npz().replace(b"NUMPY", b"NUMPZ", 1), "damaged"),
    "a shape without end": (header("(10, 4"), "damaged"),
    "a shape of text": (header("('a', 4)"), "damaged"),
    "a negative shape": (header("(-10, 4)"), "damaged"),
    "a shape of petabytes": (header("(1099511627776, 1024)"), "states shape"),
    "too few bytes": (header(data=bytes(100)), "states shape"),
    "too many bytes": (header(data=bytes(1000)), "states shape"),
    "a header that is a call": (header("__import__('os').system('true')"), "damaged"),
    "a header that goes deep": (header("(" * 5000 + ")" * 5000), "damaged"),
    "a header that is long": (header(rest=" " * 30000), "damaged"),
    "text for numbers": (bad_npz(actions=np.full((10, 2), "x")), "actions contains <U1, not numbers"),
    "fields": (header(descr="[('a', '<f4')]"), "observations contains"),
    "images": (bad_npz(observations=np.zeros((10, 8, 8, 3))), r"observations has shape \(10, 8, 8, 3\)"),
    "no columns": (bad_npz(observations=np.zeros((10, 0))), r"observations has shape \(10, 0\)"),
    "rows of nothing": (header("(1099511627776, 0)", data=b""), "observations has shape"),
    "floats for flags": (bad_npz(terminals=np.linspace(0, 1, 10)), "terminals is 0.111111 at row 1"),
    "nan": (bad_npz(rewards=np.full(10, np.nan)), "rewards is nan at row 0"),
    "none": (bad_npz(**{key: array[:0] for key, array in raw_arrays().items()}), "contains no transitions"),
    "a bomb": (bomb, "claims 1,073,7.* which its .* bytes cannot contain"),
}


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.slow) if what == "a bomb" else what for what in BAD_NPZ]
)
def test_bad_archives(tmp_path, what):
    content, match = BAD_NPZ[what]
    (tmp_path / "a.npz").write_bytes(content() if callable(content) else content)
    tracemalloc.start()
    refuse(tmp_path / "a.npz", match)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_two_arrays_of_one_name(tmp_path):
    path = write_npz(tmp_path / "a.npz", raw_arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("rewards.npy", archive.read("rewards.npy"))
    refuse(path, "a.npz contains 'rewards' more than once")


def test_an_archive_cut_short_anywhere(tmp_path):
    whole = bad_npz()
    for length in [*range(0, len(whole) - 1, 61), len(whole) - 1]:
        (tmp_path / "a.npz").write_bytes(whole[:length])
        refuse(tmp_path / "a.npz", "cannot read")


def test_integers_and_flags_of_other_types_are_numbers(tmp_path):
    arrays = raw_arrays(observations=np.arange(40).reshape(10, 4), timeouts=None)
    plain = read_dataset(write_npz(tmp_path / "a.npz", arrays))
    assert plain.observations.dtype == np.float32
    odd = arrays | {
        "rewards": arrays["rewards"][:, None].astype(">f8"),
        "terminals": arrays["terminals"].astype(np.float64),
    }
    assert_equal(read_dataset(write_npz(tmp_path / "b.npz", odd)), plain)


def test_columns_of_different_kinds_of_entries(tmp_path):
    listed = each(ragged(0))
    columns = {key: one_array_an_entry([one[key] for one in listed]) for key in listed[0]}
    refuse(
        write_npz(tmp_path / "a.npz", columns | {"rewards": np.zeros(200)}), "one entry per episode, rewards one row"
    )
    refuse(
        write_npz(tmp_path / "b.npz", columns | {"rewards": columns["rewards"][:3]}), "numbers of episodes: .*rewards 3"
    )


def shared_list() -> bytes:
    """Rows of rows of the same thousand numbers, which would make gigabytes of a few kilobytes."""
    row = b"](" + b"K\x00" * 1000 + b"eq\x00"
    rows = b"](" + row + b"h\x00" * 100_000 + b"e"
    columns = dict_of(observations=rows, actions=rows, rewards=rows, terminals=rows)
    return b"\x80\x02](" + columns + b"e."


BAD_PICKLES = {
    "nothing": (b"", "not a whole pickle"),
    "no episodes": (pickle.dumps([]), "contains no episodes"),
    "a number": (pickle.dumps(3), "a value of type int, not a list of episodes"),
    "one array": (pickle.dumps(np.zeros(3)), "a single array, not a list of episodes"),
    "a list of numbers": (pickle.dumps([1]), "episode 0 is a value of type int"),
    "text": (pickle.dumps([raw_arrays(), raw_arrays(actions="x")]), "episode 1: actions is not an array of numbers"),
    "lists of text": (pickle.dumps([raw_arrays(rewards=["x"] * 10)]), "episode 0: rewards is not an array of numbers"),
    "ragged lists": (pickle.dumps([raw_arrays(actions=[[1.0], [1.0, 2.0]])]), "episode 0: actions is not an array"),
    "other sizes": (
        pickle.dumps([raw_arrays(), raw_arrays(actions=np.zeros((10, 3), np.float32))]),
        r"episode 1 has observations and actions of sizes \(4, 3\), .*episode 0 has sizes \(4, 2\)",
    ),
    "nan": (pickle.dumps([raw_arrays(), raw_arrays(actions=np.full((10, 2), np.nan))]), "episode 1: actions is nan"),
    "shared rows": (shared_list(), "claims .* bytes of arrays"),
    "a class": (pickle.dumps([raw_arrays(rewards=Path("x"))]), "was refused: it names 'pathlib.*'"),
}


SLOW = {"shared rows"}


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[pytest.mark.slow] if what in SLOW else []) for what in BAD_PICKLES]
)
def test_bad_pickles(tmp_path, what):
    content, match = BAD_PICKLES[what]
    (tmp_path / "a.pkl").write_bytes(content)
    refuse(tmp_path / "a.pkl", match)


def test_pickles_that_are_too_large_are_not_read(tmp_path):
    with (tmp_path / "a.pkl").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    refuse(tmp_path / "a.pkl", "bytes, more than", RefusedFileError)


def as_archive(path: Path, program: bytes) -> Path:
    """The program in the place of an array of objects."""
    member = b"\x93NUMPY\x01\x00"
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    with zipfile.ZipFile(path, "w") as archive:
        for key in KEYS[:-1]:
            archive.writestr(f"{key}.npy", member + struct.pack("<H", len(text)) + text + program)
    return path


def as_pickle(path: Path, program: bytes) -> Path:
    path.write_bytes(program)
    return path


def as_recording(path: Path, program: bytes) -> Path:
    write_npz(path.with_name("episode-0.npz"), raw_arrays())
    return as_pickle(path.with_name("episode-1.pkl"), program)


@pytest.mark.parametrize("carrier", [as_pickle, as_archive, as_recording], ids=["pickle", "npz", "folder"])
def test_hostile_datasets_are_refused_and_do_not_run(tmp_path, carrier):
    canary = tmp_path / "canary"
    for what, (program, _) in live(canary).items():
        path = carrier(tmp_path / ("a.npz" if carrier is as_archive else "a.pkl"), program)
        with pytest.raises(RefusedFileError) as refusal:
            read_dataset(path.parent if carrier is as_recording else path)
        assert str(path) in refusal.value.message and "was refused: it names '" in refusal.value.message, what
        assert not canary.exists(), what


@pytest.mark.parametrize("carrier", [as_pickle, as_archive], ids=["pickle", "npz"])
def test_twisted_datasets_are_refused(tmp_path, carrier):
    for what, (program, _) in twisted().items():
        path = carrier(tmp_path / ("a.npz" if carrier is as_archive else "a.pkl"), program)
        with pytest.raises(SeqrlError) as refusal:
            read_dataset(path)
        assert str(path) in refusal.value.message and refusal.value.hint, what


def test_a_program_beside_good_columns_does_not_run(tmp_path):
    program, _ = live(tmp_path / "canary")["os.system"]
    content = b"\x80\x02](" + dict_of(observations=program[:-1], actions=text("x")) + b"e."
    refuse(as_pickle(tmp_path / "a.pkl", content), "names 'os.system'", RefusedFileError)
    assert not (tmp_path / "canary").exists()


def test_folders(tmp_path):
    refuse(tmp_path, "contains no recordings")
    folder = folder_of(tmp_path / "a", ragged(0))
    write_npz(folder / "episode 3.npz", raw_arrays(observations=np.zeros((10, 7))))
    with pytest.raises(
        SeqrlError, match=r"episode 3.npz has observations and actions of sizes \(7, 2\), .*episode 0.npz has"
    ):
        read_dataset(folder)
    (folder / "episode 2.npz").write_bytes(b"")
    with pytest.raises(SeqrlError, match="episode 2.npz: the file is empty"):
        read_dataset(folder)


def test_paths_that_are_no_dataset(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    refuse(tmp_path / "notes.txt", "is not a dataset: neither its name nor its content")
    for name in ("none.npz", "none.pkl", "none.h5", "none"):
        refuse(tmp_path / name, "there is no file")
        with pytest.raises(SeqrlError, match="there is no file"):
            read_attributes(tmp_path / name)


def test_an_hdf5_file_that_claims_what_it_does_not_hold(tmp_path):
    path = write_raw(tmp_path / "a.h5", raw_arrays(observations=None))
    with h5py.File(path, "a") as file:
        file.create_dataset("observations", shape=(2**34, 4), dtype="f4", chunks=(2**16, 4))
    refuse(path, "claims 274,877,.* bytes of arrays")


def test_an_hdf5_file_that_is_being_written(tmp_path):
    path = write_raw(tmp_path / "a.h5", raw_arrays())
    program = f"import h5py\nwith h5py.File({str(path)!r}, 'a'): print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"open\n"
        refuse(path, "another program is writing it")
        writer.communicate(b"\n")
    assert len(read_dataset(path)) == 3
