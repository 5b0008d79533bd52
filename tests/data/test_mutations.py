"""Files with random damage, seeded: they are read, or refused in one sentence, and nothing else happens."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from seqrl_cli.data.formats.minari_metadata import MAIN, METADATA
from seqrl_cli.data.formats.read import read_attributes, read_dataset
from seqrl_cli.errors import SeqrlError
from seqrl_cli.interop.torch_files import read_state_dict
from tests.data.conftest import ragged
from tests.data.files import FORMATS, each, written

pytestmark = pytest.mark.slow

PIECES = [
    b"R",
    b"\x81",
    b"b",
    b"(",
    b"t",
    b".",
    b"h\x00",
    b"\xff" * 8,
    b"cos\nsystem\n",
    b"}",
    b"]",
    b"\x8e" + b"\xff" * 7,
]
TRIALS = 150


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A byte changed, a piece put in, a stretch doubled or cut out, once or several times."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        start = int(rng.integers(len(changed) or 1))
        stretch = slice(start, start + int(rng.integers(1, 40)))
        kind = rng.integers(4)
        if kind == 0:
            changed[start : start + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            changed[start:start] = PIECES[rng.integers(len(PIECES))]
        elif kind == 2:
            changed[start:start] = changed[stretch]
        else:
            del changed[stretch]
    return bytes(changed)


def check(path: Path, read, seed: int) -> None:
    """Read a file with much damage, each time damaged anew."""
    whole, rng = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(TRIALS):
        path.write_bytes(damaged(whole, rng))
        try:
            read()
        except SeqrlError as error:
            assert error.hint and "\n" not in error.message


@pytest.mark.parametrize(
    "what", ["npz", "npz, compressed", "npz, one entry per episode", "pickle of lists", "pickle 2", "pickle 5"]
)
def test_damaged_datasets(tmp_path, what):
    path = FORMATS[what](tmp_path, ragged(0, 40))
    check(path, lambda: read_dataset(path), seed=1)


def test_damaged_hdf5_files(tmp_path):
    path = FORMATS["hdf5, without its ending"](tmp_path, ragged(0, 40)).rename(tmp_path / "a.h5")
    check(path, lambda: (read_attributes(path), read_dataset(path)), seed=2)


@pytest.mark.parametrize("name", [MAIN, METADATA])
def test_damaged_minari_datasets(tmp_path, name):
    folder = written(tmp_path, ragged(0, 40))
    check(folder / "data" / name, lambda: (read_attributes(folder), read_dataset(folder)), seed=3)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_damaged_weights(tmp_path, is_zip):
    buffer = io.BytesIO()
    torch.save({name: torch.arange(3.0) for name in "abc"}, buffer, _use_new_zipfile_serialization=is_zip)
    path = tmp_path / "state_1.pt"
    path.write_bytes(buffer.getvalue())
    check(path, lambda: read_state_dict(path), seed=4)


def test_damage_is_seeded():
    data = pickle.dumps(each(ragged(0, 40)))
    first, second = (damaged(data, np.random.default_rng(7)) for _ in range(2))
    assert first == second != data
