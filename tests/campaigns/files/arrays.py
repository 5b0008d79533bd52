"""Structural damage to files of arrays: HDF5, .npz and pickles of columns, and safetensors."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HUGE = [2**28, 2**31, 2**33, 2**40, 2**62]

ATTRIBUTES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    np.uint64(2**64 - 1),
    1e300,
    float("nan"),
    float("inf"),
    1 + 2j,
    "",
    "x",
    "x" * 60_000,
    "../../x",
    "/etc/passwd",
    "\x1b[31mred",
    "\u202eevil",
    "a\nb",
    "[" * 3000,
    "{}",
    "null",
    b"\xff\xfe",
    np.bytes_(b"\xc3"),
    np.zeros(3),
    np.zeros((0,)),
    np.array(["a", "b"], dtype="S1"),
    h5py.Empty("f8"),
    h5py.Empty("S1"),
    np.void(b"abc"),
]


def odd_arrays(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Arrays that a column should not be; ``shape`` is what it was."""
    rows = shape[0] if shape else 1
    normal = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    odd: dict[str, np.ndarray] = {
        "NaN": np.full(shape, np.nan, np.float32),
        "inf": np.full(shape, np.inf, np.float32),
        "-inf": np.full(shape, -np.inf, np.float32),
        "1e300": np.full(shape, 1e300),
        "largest float32": np.full(shape, np.finfo(np.float32).max),
        "empty": np.zeros((0, *shape[1:]), np.float32),
        "no size": np.zeros((rows, 0), np.float32),
        "scalar": np.float32(1.0) * np.ones(()),
        "one row": normal[:1],
        "one row more": np.concatenate([normal, normal[:1]]) if shape else np.ones(2),
        "one axis more": normal[..., None],
        "one axis less": normal.reshape(-1),
        "transposed": normal.T,
        "complex": normal.astype(complex),
        "bool": normal > 0,
        "int8": normal.astype(np.int8),
        "uint64": np.full(shape, 2**64 - 1, np.uint64),
        "int64, smallest": np.full(shape, -(2**63), np.int64),
        "float16": normal.astype(np.float16),
        "big-endian": normal.astype(">f8"),
        "long double": normal.astype(np.longdouble),
        "texts": np.full(shape, b"text"),
        "records": np.zeros(shape, [("a", "f4"), ("b", "i4")]),
        "negative": -np.abs(normal),
        "constant": np.zeros(shape, np.float32),
        "twos": np.full(shape, 2, np.int64),
    }
    if shape and rows > 1:
        odd["one NaN"] = normal.copy()
        odd["one NaN"][rows // 2] = np.nan
    return odd


def change_hdf5(path: Path, rng: random.Random) -> str:
    """Replace an array, a group or an attribute of a file; says which by what."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        places = [(owner, key) for owner in ["/", *names] for key in file[owner].attrs]
        if places and rng.random() < 0.35:
            owner, key = rng.choice(places)
            return _change_attribute(file[owner], key, rng)
        arrays = [name for name in names if isinstance(file[name], h5py.Dataset)]
        if not arrays:
            return _change_attribute(file, "env_id", rng)
        return _change_array(file, rng.choice(arrays), rng)


def _change_attribute(owner: h5py.Group, key: str, rng: random.Random) -> str:
    if key in owner.attrs:
        del owner.attrs[key]
    value = rng.choice(ATTRIBUTES)
    if value is not None:
        owner.attrs[key] = value
    return f"attribute {key} = {value!r:.40}" if not isinstance(value, np.ndarray) else f"attribute {key} = array"


def _change_array(file: h5py.File, name: str, rng: random.Random) -> str:
    old = file[name]
    shape = old.shape or ()
    del file[name]
    kind = rng.choice(["huge", "odd", "odd", "odd", "odd", "link", "other"])
    if kind == "huge":
        rows = rng.choice(HUGE)
        columns = rng.choice([(), shape[1:], (2**20,)])
        try:
            file.create_dataset(name, (rows, *columns), rng.choice(["f4", "f8", "u1", "i8", "?"]), chunks=True)
        except (ValueError, MemoryError, OverflowError):
            return f"no {name}"
        return f"{name} claims {rows:,} rows of {columns}"
    if kind == "odd":
        what, array = rng.choice(list(odd_arrays(shape).items()))
        with warnings.catch_warnings(action="ignore"):
            file[name] = array
        return f"{name} is {what}"
    if kind == "link":
        return f"{name} is {_put_link(file, name, rng)}"
    return f"{name} is {_put_other(file, name, shape, rng)}"


def _put_link(file: h5py.File, name: str, rng: random.Random) -> str:
    what = rng.choice(["a link to nothing", "a link to itself", "an external link", "a link to the root"])
    target = {"a link to nothing": "/nothing", "a link to itself": f"/{name}", "a link to the root": "/"}
    file[name] = h5py.SoftLink(target[what]) if what in target else h5py.ExternalLink("nothing.h5", "/x")
    return what


def _put_other(file: h5py.File, name: str, shape: tuple[int, ...], rng: random.Random) -> str:
    what = rng.choice(
        ["missing", "a group", "null", "references", "ragged", "texts of any length", "unreadable filter"]
    )
    if what == "a group":
        file.create_group(name)
    elif what == "null":
        file[name] = h5py.Empty("f4")
    elif what == "references":
        file.create_dataset(name, (3,), h5py.ref_dtype)
    elif what == "ragged":
        file.create_dataset(name, (max(shape[:1], default=1),), h5py.vlen_dtype(np.float32))
    elif what == "texts of any length":
        file.create_dataset(name, (max(shape[:1], default=1),), h5py.string_dtype())
    elif what == "unreadable filter":
        file.create_dataset(name, data=np.ones((64, 2), np.float32), compression="gzip", shuffle=True, fletcher32=True)
    return what


def odd_columns(columns: dict[str, np.ndarray], rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Columns with one wrong, missing or too many."""
    changed: dict[str, Any] = dict(columns)
    name = rng.choice(list(changed))
    kind = rng.random()
    if kind < 0.1:
        del changed[name]
        return f"no {name}", changed
    if kind < 0.2:
        odd = rng.choice(["", "x" * 5000, "\0", "../x", "\x1b[31m", "actions "])
        changed[odd] = changed[name]
        return f"also {odd[:20]!r}", changed
    what, changed[name] = rng.choice(list(odd_arrays(columns[name].shape).items()))
    return f"{name} is {what}", changed


ODD_OBJECTS: list[Any] = [
    None,
    "text",
    b"bytes",
    1.5,
    10**400,
    [],
    {},
    [[]],
    [1, [2]],
    [None] * 3,
    [{}],
    ["x"] * 60,
    [float("nan")] * 60,
    [10**400] * 60,
    [[1.0, 2.0], [1.0]],
    ([],) * 60,
    {"a": []},
    [[[[[[]]]]]],
    [True, 1, 1.0, "x"],
]
