"""Foreign pickles are read as plain data; hostile ones are refused by name, and nothing in them runs."""

from __future__ import annotations

import contextlib
import io
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.machine import RefusedFileError
from seqrl_cli.files.safe_pickle.read import MAX_PICKLE_BYTES, parse_pickle, read_pickle
from seqrl_cli.files.safe_pickle.vocabulary import Global
from seqrl_cli.interop.checkpoint_data import CHECKPOINTS
from seqrl_cli.interop.pickle_writer import dump_object
from seqrl_cli.interop.torch_files import read_torch
from tests.interop.hostile import TRUNCATED, live, twisted
from tests.interop.spelling import legacy_file, zip_file

LIVE = live(Path("canary"))
TWISTED = twisted()


def read(path: Path, carrier: str, program: bytes) -> object:
    """Read a program as a configuration, or inside either layout of torch.save."""
    path.write_bytes({"pickle": bytes, "zip": zip_file, "legacy": legacy_file}[carrier](program))
    return read_pickle(path, CHECKPOINTS) if carrier == "pickle" else read_torch(path)


def test_there_are_enough_of_them():
    assert len(LIVE) >= 30 and len(TWISTED) >= 30


@pytest.mark.parametrize("what", LIVE)
def test_the_hostile_programs_are_real(tmp_path, what):
    """Python's own unpickler runs them, else refusing them would prove nothing."""
    program, _ = live(tmp_path / "canary")[what]
    with contextlib.suppress(Exception):
        pickle.loads(program)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("carrier", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("what", LIVE)
def test_hostile_programs_are_refused_and_do_not_run(tmp_path, what, carrier):
    program, word = live(tmp_path / "canary")[what]
    with pytest.raises(RefusedFileError) as refusal:
        read(tmp_path / "file", carrier, program)
    assert str(tmp_path / "file") in refusal.value.message
    assert word in refusal.value.message and "\n" not in refusal.value.message
    assert refusal.value.hint
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("carrier", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("what", TWISTED)
def test_twisted_programs_are_refused(tmp_path, what, carrier):
    program, word = TWISTED[what]
    with pytest.raises(RefusedFileError) as refusal:
        read(tmp_path / "file", carrier, program)
    if carrier == "pickle":
        assert word in refusal.value.message


@pytest.mark.parametrize("what", TRUNCATED)
def test_sizes_that_are_not_there_cost_no_memory(tmp_path, what):
    tracemalloc.start()
    with pytest.raises(SeqrlError, match="not a whole pickle"):
        read(tmp_path / "file", "pickle", TRUNCATED[what])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "model_config.pkl"
    with path.open("wb") as file:
        file.truncate(MAX_PICKLE_BYTES + 1)
    with pytest.raises(RefusedFileError, match="bytes, more than"):
        read_pickle(path, CHECKPOINTS)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_of_every_protocol(protocol):
    value = {"a": [1, -2, 2**40, 0.5, None, True], "b": ("x", b"y"), "c": {}, "d": {3: (1, 2, 3, 4)}}
    if protocol == 2:
        value["b"] = ("x",)
    assert parse_pickle(io.BytesIO(pickle.dumps(value, protocol)), "file", CHECKPOINTS) == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i8", "u1", "?"])
def test_arrays_of_every_protocol(protocol, dtype):
    for array in (
        np.arange(6).reshape(2, 3).astype(dtype),
        np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype)),
    ):
        plain = parse_pickle(io.BytesIO(pickle.dumps(array, protocol)), "file", CHECKPOINTS)
        np.testing.assert_array_equal(plain.to_numpy(), array)
    scalar = np.dtype(dtype).type(1)
    assert parse_pickle(io.BytesIO(pickle.dumps(scalar, protocol)), "file", CHECKPOINTS).to_numpy() == scalar


def test_arrays_of_the_older_numpy():
    program = pickle.dumps(np.arange(3.0), protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    np.testing.assert_array_equal(parse_pickle(io.BytesIO(program), "file", CHECKPOINTS).to_numpy(), np.arange(3.0))


@pytest.mark.parametrize(
    "change", [{"shape": (2**30, 2**30)}, {"shape": (3,)}, {"shape": (-1,)}, {"shape": "x"}, {"data": None}]
)
def test_arrays_whose_parts_disagree(change):
    plain = parse_pickle(io.BytesIO(pickle.dumps(np.arange(4.0), protocol=2)), "file", CHECKPOINTS)
    for key, value in change.items():
        setattr(plain, key, value)
    with pytest.raises(ValueError):
        plain.to_numpy()


def test_a_written_object_is_read_back():
    attributes = {
        "_class": Global("trajectory.models.transformers.GPT"),
        "_dict": {"N": -100, "x": 0.5, "env": "a", "b": True},
    }
    value = parse_pickle(io.BytesIO(dump_object("trajectory.utils.config.Config", attributes)), "file", CHECKPOINTS)
    assert value.class_name == "trajectory.utils.config.Config" and value.attributes == attributes
