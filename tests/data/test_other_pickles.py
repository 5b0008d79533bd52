"""Pickles of every protocol, with anything beside the columns: the same episodes, and nothing is called."""

from __future__ import annotations

import collections
import datetime
import decimal
import io
import pathlib
import pickle
import struct
import time
import types
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.machine import RefusedFileError
from tests.data.conftest import ragged
from tests.data.files import assert_equal, each, write_pickle

pytestmark = pytest.mark.slow

EPISODES = [{key: one[key] for key in ("observations", "actions", "rewards", "terminals")} for one in each(ragged(0))]


class PythonTwo(pickle._Pickler):
    """Writes texts and bytes as Python 2 does."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_text(self, value: str | bytes) -> None:
        data = value.encode("latin-1") if isinstance(value, str) else value
        if not self.bin:
            self.write(b"S" + repr(data)[1:].encode() + b"\n")
        elif len(data) < 256:
            self.write(b"U" + bytes([len(data)]) + data)
        else:
            self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_text


def python_two(value: object, protocol: int) -> bytes:
    stream = io.BytesIO()
    PythonTwo(stream, protocol).dump(value)
    return stream.getvalue().replace(b"numpy._core", b"numpy.core")


class Recording(dict):
    pass


class Recordings(list):
    pass


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return read_dataset(write_pickle(tmp_path_factory.mktemp("plain") / "a.pkl", EPISODES))


@pytest.mark.parametrize("protocol", range(3))
def test_python_two(tmp_path, expected, protocol):
    (tmp_path / "a.pkl").write_bytes(python_two(EPISODES, protocol))
    assert_equal(read_dataset(tmp_path / "a.pkl"), expected)


BESIDE = {
    "texts": np.array(["open drawer"]),
    "a text of NumPy": np.str_("Hopper"),
    "a date": datetime.datetime(2024, 1, 1),
    "a path": pathlib.PurePosixPath("a"),
    "a set": {"a", "b"},
    "a frozen set": frozenset({1}),
    "complex": np.zeros(2, complex),
    "fields": np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "dates": np.array(["2024-01-01"], "M8[s]"),
    "long doubles": np.zeros(2, np.longdouble),
    "masked": np.ma.array([1, 2], mask=[0, 1]),
    "odd keys": {0.5: 1, (0, 1): 2, None: 3, b"x": 4},
    "a slice": slice(0, 3),
    "a defaultdict": collections.defaultdict(list, a=[1]),
    "a counter": collections.Counter("abc"),
    "a decimal": decimal.Decimal("1.5"),
    "a function": len,
    "a class": int,
    "a random state": np.random.default_rng(0),
    "a device": torch.device("cpu"),
    "a tensor": torch.zeros(2),
    "infos": [{"success": np.bool_(True), "x": np.float64(1.5)}],
    "an exception": ValueError("x"),
    "a huge number": 10**400,
}


@pytest.mark.parametrize("protocol", range(6))
def test_what_stands_beside_the_columns(tmp_path, expected, protocol):
    for what, value in BESIDE.items():
        path = write_pickle(tmp_path / "a.pkl", [{**one, "beside": value} for one in EPISODES], protocol)
        assert len(read_dataset(path)) == len(expected), what
    assert_equal(
        read_dataset(write_pickle(tmp_path / "b.pkl", [{**e, **BESIDE} for e in EPISODES], protocol)), expected
    )


OTHER_FORMS = {
    "dictionaries by name": {f"episode_{i}": one for i, one in enumerate(EPISODES)},
    "dictionaries by number": dict(enumerate(EPISODES)),
    "a list beside other things": {"episodes": EPISODES, "version": 1},
    "a deque": collections.deque(EPISODES),
    "subclasses": Recordings(Recording(one) for one in EPISODES),
    "default dictionaries": [collections.defaultdict(list, one) for one in EPISODES],
    "attributes": [types.SimpleNamespace(**one) for one in EPISODES],
    "keys of bytes": [{key.encode(): value for key, value in one.items()} for one in EPISODES],
    "columns of episodes": {key: [one[key] for one in EPISODES] for key in EPISODES[0]},
    "tensors": [{key: torch.tensor(value) for key, value in one.items()} for one in EPISODES],
    "masked arrays": [{key: np.ma.array(value) for key, value in one.items()} for one in EPISODES],
    "object arrays": [{**one, "rewards": one["rewards"].astype(object)} for one in EPISODES],
    "mixed numbers": [
        {
            **one,
            "rewards": [np.array([x]) if i % 3 == 0 else np.float64(x) if i % 3 == 1 else float(x) for i, x in r],
            "terminals": [bool(flag) if i % 2 else np.bool_(flag) for i, flag in enumerate(one["terminals"])],
            "actions": [(float(row[0]), *row[1:]) for row in one["actions"]],
        }
        for one in EPISODES
        for r in [list(enumerate(one["rewards"]))]
    ],
}


@pytest.mark.parametrize("what", OTHER_FORMS)
def test_other_forms_of_the_same_episodes(tmp_path, expected, what):
    for protocol in (0, 2, 4):
        assert_equal(read_dataset(write_pickle(tmp_path / "a.pkl", OTHER_FORMS[what], protocol)), expected)


@pytest.mark.parametrize("name", ["a.pt", "a.pth.tar", "a.ckpt", "a.pkl"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_episodes_of_torch_save(tmp_path, expected, name, is_zip):
    torch.save(OTHER_FORMS["tensors"], tmp_path / name, _use_new_zipfile_serialization=is_zip)
    assert_equal(read_dataset(tmp_path / name), expected)


REFUSED = {
    "a column of a class": (
        [{**EPISODES[0], "rewards": slice(0, 3)}],
        "names '.*slice', which only",
    ),
    "a row of a class": ([{**EPISODES[0], "rewards": [decimal.Decimal(1)]}], "it is an object of decimal.Decimal"),
    "hidden values": (
        [{**EPISODES[0], "rewards": np.ma.array([1.0], mask=[1])}],
        "rewards is not an array of numbers: some of its values are masked",
    ),
    "complex numbers": ([{**EPISODES[0], "rewards": np.zeros(3, complex)}], "its values are of type c16"),
    "numbers beyond all": ([{**EPISODES[0], "rewards": [10**400, 0.5]}], "too large"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_needed_and_cannot_be_read(tmp_path, what):
    value, match = REFUSED[what]
    with pytest.raises(SeqrlError, match=match):
        read_dataset(write_pickle(tmp_path / "a.pkl", value))


def test_weights_are_no_episodes(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2).state_dict(), "epoch": 1}, tmp_path / "a.pt")
    with pytest.raises(SeqrlError, match="contains the weights of a model"):
        read_dataset(tmp_path / "a.pt")


def test_few_bytes_do_not_become_many_objects(tmp_path, monkeypatch):
    monkeypatch.setattr("seqrl_cli.files.safe_pickle.open_machine.OpenMachine.max_memory", 10**6)
    for program in (b"]", b"}", b"(", b")", b"N"):
        (tmp_path / "a.pkl").write_bytes(program * 40_000 + b".")
        with pytest.raises(RefusedFileError, match="more objects than fit in memory"):
            read_dataset(tmp_path / "a.pkl")


# By what they need below them on the stack.
SLOW_PROGRAMS = {
    b"": (b"cx\ny\n", b"(ix\ny\n", b"(cx\ny\no", b"V1\n", b"S''\n", b"\x8f", b"(\x91"),
    b"]": (b"]a", b"(e", b"(NNt\x85a"),
    b"}": (b"(u", b"K\x01Ns", b"\x8c\x01aNs"),
}


@pytest.mark.parametrize(("below", "program"), [(below, one) for below, many in SLOW_PROGRAMS.items() for one in many])
def test_instructions_that_take_time_count_as_many(tmp_path, monkeypatch, below, program):
    monkeypatch.setattr("seqrl_cli.files.safe_pickle.open_machine.OpenMachine.max_memory", 10**6)
    (tmp_path / "a.pkl").write_bytes(below + program * 4000 + b".")
    with pytest.raises(RefusedFileError, match="more objects than fit in memory"):
        read_dataset(tmp_path / "a.pkl")


@pytest.mark.slow
def test_no_cheap_instruction_takes_long(tmp_path):
    for program in (b"I1\n", b"\x8c\x01a", b"ca\nb\n)R0", b"NNs", b"Na"):
        start = b"(" if program[:1] in b"I\x8c" else b"}" if program == b"NNs" else b"]"
        (tmp_path / "a.pkl").write_bytes(start + program * (3_000_000 // len(program)) + b".")
        begun = time.process_time()
        with pytest.raises(SeqrlError):
            read_dataset(tmp_path / "a.pkl")
        assert time.process_time() - begun < 15


def test_rows_that_are_shared_do_not_grow(tmp_path):
    levels = b"]q\x000" + b"".join(
        b"]q" + bytes([i]) + b"(" + (b"h" + bytes([i - 1])) * 50 + b"e0" for i in range(1, 60)
    )
    columns = b"".join(b"X" + struct.pack("<I", len(key)) + key.encode() + b"h\x3b" for key in EPISODES[0])
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + levels + b"](}(" + columns + b"ue.")
    with pytest.raises(SeqrlError, match="nests lists more than"):
        read_dataset(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("of", [1, 2, len(EPISODES)])
def test_dumps_in_a_row_are_joined(tmp_path, expected, protocol, of):
    path = tmp_path / "a.pkl"
    with path.open("wb") as file:
        for start in range(0, len(EPISODES), of):
            some = EPISODES[start : start + of]
            pickle.dump(some[0] if of == 1 else some, file, protocol)
            file.write(b"\n")
    assert_equal(read_dataset(path), expected)


@pytest.mark.parametrize("rest", [b"\x80\x04}\x94.", b"\x80\x04K\x01.", b"\x80", b"garbage"])
def test_what_follows_a_pickle_is_not_passed_over(tmp_path, rest):
    path = write_pickle(tmp_path / "a.pkl", EPISODES)
    path.write_bytes(path.read_bytes() + rest)
    with pytest.raises(SeqrlError, match="more bytes after its 1 pickle, which are not|in a row, of which number 1"):
        read_dataset(path)


def test_dumps_in_a_row_share_the_limits_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr("seqrl_cli.data.formats.pickled_episodes.MAX_INSTRUCTIONS", 1000)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([]) * 1000)
    with pytest.raises(RefusedFileError, match="instructions to read"):
        read_dataset(tmp_path / "a.pkl")


def test_episodes_without_a_step_are_left_out(tmp_path, expected):
    none = {key: column[:0] for key, column in EPISODES[0].items()}
    assert_equal(read_dataset(write_pickle(tmp_path / "a.pkl", [none, *EPISODES, none])), expected)
    with pytest.raises(SeqrlError, match="no episode has a step"):
        read_dataset(write_pickle(tmp_path / "b.pkl", [none, none]))


def test_a_second_recording_in_a_dictionary_is_warned_of(tmp_path):
    def episode(seed: int) -> dict:
        rng = np.random.default_rng(seed)
        columns = {"observations": rng.normal(size=(5, 3)), "actions": rng.normal(size=(5, 2))}
        return {**columns, "rewards": rng.normal(size=5), "terminals": np.arange(5) == 4}

    for content, count in (
        ({"train": [episode(0), episode(1)], "val": {"a": episode(2)}}, 2),
        ({**episode(0), "val": episode(1)}, 1),
        ({**episode(0), "val": [episode(1)]}, 1),
    ):
        path = tmp_path / "a.pkl"
        path.write_bytes(pickle.dumps(content))
        options = ReadOptions()
        assert len(read_dataset(path, options)) == count
        assert any("'val' contains episodes that are not read" in warning for warning in options.log.warnings)
