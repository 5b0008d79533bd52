"""Structural damage by a file's kind."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.campaigns.files.arrays import ODD_OBJECTS, change_hdf5, odd_columns
from tests.campaigns.files.damage import DAMAGES
from tests.campaigns.files.texts import VALUES, change_json, change_json_lines, change_yaml, replace_value, whole_text
from tests.data.conftest import ragged
from tests.data.files import each, flat, raw_arrays, write_npz
from tests.interop.folders import trajectory_transformer


def change(path: Path, rng: random.Random) -> str:
    """Damage a file in its bytes or in its structure; says how."""
    by_kind = _BY_SUFFIX.get(path.suffix)
    if by_kind is None or rng.random() < 0.45:
        return damage(path, rng)
    return by_kind(path, rng)


def damage(path: Path, rng: random.Random) -> str:
    """Damage the bytes; a checkpoint's hash is right again afterwards in half of all cases."""
    change_bytes = rng.choice(DAMAGES)
    path.write_bytes(change_bytes(path.read_bytes(), rng))
    return change_bytes.__name__.replace("_", " ") + (_rehash(path) if rng.random() < 0.5 else "")


def _rehash(path: Path) -> str:
    """Write the file's hash to the ``state.json`` beside it, if there is one."""
    state = path.parent / "state.json"
    if path.suffix != ".safetensors" or not state.exists():
        return ""
    values = json.loads(state.read_text())
    values["files"][path.name] = {
        "size": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    state.write_text(json.dumps(values))
    return ", with its hash"


def _change_text(path: Path, rng: random.Random, change_values: Any) -> str:
    if rng.random() < 0.35:
        what, data = whole_text(rng)
    else:
        try:
            what, data = change_values(path.read_bytes(), rng)
        except ValueError:  # numbers of 4,000 digits are not written as text
            what, data = whole_text(rng)
    path.write_bytes(data)
    return what


def _change_tensors(path: Path, rng: random.Random) -> str:
    """Change the header of a safetensors file."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    what = replace_value(header, rng)
    try:
        text = json.dumps(header).encode()
    except ValueError:
        text, what = b"[" * 3000, "nested brackets"
    claimed = rng.choice([len(text)] * 5 + [2**62, 0])
    path.write_bytes(struct.pack("<Q", claimed) + text + data[8 + size :])
    return what + _rehash(path)


def _change_npz(path: Path, rng: random.Random) -> str:
    what, columns = odd_columns(raw_arrays(40), rng)
    try:
        write_npz(path, columns)
    except (ValueError, OSError):
        return damage(path, rng)
    return what


def _change_pickle(path: Path, rng: random.Random) -> str:
    """A configuration with a wrong value, episodes with a wrong column, or another object altogether."""
    if path.name.endswith("_config.pkl"):
        return _change_config(path, rng)
    protocol = rng.randrange(6)
    kind = rng.random()
    if kind < 0.25:
        value = rng.choice(ODD_OBJECTS)
        path.write_bytes(pickle.dumps(value, protocol))
        return f"{value!r:.40}" if value != 10**400 else "10**400"
    episodes = each(ragged(0, 60)) if kind < 0.7 else [flat(ragged(0, 60))]
    index = rng.randrange(len(episodes))
    what, episodes[index] = odd_columns(episodes[index], rng)
    if rng.random() < 0.3:
        name = rng.choice(list(episodes[index]))
        episodes[index][name] = rng.choice(ODD_OBJECTS)
        what += f"; {name} is an odd object"
    path.write_bytes(pickle.dumps(episodes if kind < 0.7 else episodes[0], protocol))
    return what


def _change_config(path: Path, rng: random.Random) -> str:
    keys = {
        "model_config.pkl": ["vocab_size", "block_size", "n_layer", "n_head", "n_embd", "embd_pdrop", "transition_dim"],
        "data_config.pkl": ["env", "N", "penalty", "sequence_length", "step", "discount", "discretizer"],
    }[path.name]
    key, value = rng.choice(keys), rng.choice([value for value in VALUES if value.__class__ is not object])
    try:
        trajectory_transformer(path.parent, **{path.name.removesuffix("_config.pkl"): {key: value}})
    except Exception:  # not every value can be written
        return damage(path, rng)
    return f"{key} = {str(type(value))}"


def _change_weights(path: Path, rng: random.Random) -> str:
    """A state dict with a wrong, missing or foreign entry."""
    try:
        state = dict(torch.load(path, weights_only=True))
    except Exception:
        return damage(path, rng)  # a pickle of another project's class
    name = rng.choice(list(state))
    old = state.pop(name)
    what, value = rng.choice(_odd_tensors(old))
    if value is not None:
        state[name] = value
    torch.save(state, path, _use_new_zipfile_serialization=rng.random() < 0.6)
    return f"{name} is {what}"


def _odd_tensors(old: torch.Tensor) -> list[tuple[str, Any]]:
    return [
        ("missing", None),
        ("transposed", old.T if old.dim() == 2 else old[None]),
        ("empty", old.reshape(-1)[:0]),
        ("one number", torch.tensor(1.0)),
        ("NaN", torch.full_like(old.float(), float("nan"))),
        ("double", old.double()),
        ("half", old.half()),
        ("complex", old.to(torch.complex64)),
        ("integers", old.to(torch.int64)),
        ("huge", torch.zeros(1).expand(2**33)),
        ("sparse", old.float().to_sparse()),
        ("a text", "text"),
        ("a dictionary", {"a": old}),
        ("one axis more", old[..., None]),
        ("twice as long", torch.cat([old, old]) if old.dim() else old[None]),
        ("a parameter", torch.nn.Parameter(old.float())),
    ]


def _change_json_file(path: Path, rng: random.Random) -> str:
    return _change_text(path, rng, change_json)


def _change_hdf5_file(path: Path, rng: random.Random) -> str:
    with np.errstate(all="ignore"):
        return change_hdf5(path, rng)


_BY_SUFFIX = {
    ".json": _change_json_file,
    ".jsonl": lambda path, rng: _change_text(path, rng, change_json_lines),
    ".yaml": lambda path, rng: _change_text(path, rng, change_yaml),
    ".h5": _change_hdf5_file,
    ".hdf5": _change_hdf5_file,
    ".npz": _change_npz,
    ".pkl": _change_pickle,
    ".pickle": _change_pickle,
    ".pt": _change_weights,
    ".safetensors": _change_tensors,
}
