"""The file ``tokens.h5``: a dataset as tokens, with its bin edges."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.discretizer import Discretizer, Strategy, token_dtype
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hdf5 import (
    Scalar,
    native_attributes,
    open_hdf5,
    read_all,
    write_array,
    write_attributes,
    write_hdf5,
)
from seqrl_cli.files.mapped import Mapper, release, row_ranges

SCHEMA_VERSION = 1

_FORMAT = "seqrl-tokens"
_REMAKE_HINT = "`seqrl discretize DATASET --force` makes it again"

# Number of axes and types of each array in the file.
_ARRAYS = {
    "tokens": (2, ("uint8", "uint16", "uint32")),
    "offsets": (1, ("int64",)),
    "returns": (1, ("float64",)),
    "edges": (2, ("float64",)),
}
_KINDS = {int: "a whole number", float: "a finite number", str: "text"}
_Value = TypeVar("_Value", int, float, str)


def save_tokens(path: Path, dataset: TokenizedDataset) -> None:
    """Write ``tokens.h5`` completely or not at all; the same dataset gives the same bytes.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    attributes: dict[str, Scalar | None] = {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "bins": dataset.bins,
        "strategy": dataset.discretizer.strategy,
        "observation_dim": dataset.observation_dim,
        "action_dim": dataset.action_dim,
        "discount": dataset.discount,
        "termination_penalty": dataset.termination_penalty,
        "dataset_id": dataset.dataset_id,
        "env_id": dataset.env_id,
        "observation_slice": dataset.observation_slice,
        "fingerprint": dataset.fingerprint,
        "episodes_sha256": dataset.episodes_sha256,
        "terminal_rewards": dataset.terminal_rewards,
        "choices": dataset.choices,
        "arrays_sha256": _arrays_sha256(dataset.tokens, dataset.offsets, dataset.returns, dataset.discretizer.edges),
    }
    with write_hdf5(path) as file:
        write_array(file, "tokens", dataset.tokens)
        write_array(file, "offsets", dataset.offsets)
        write_array(file, "returns", dataset.returns)
        write_array(file, "edges", dataset.discretizer.edges)
        write_attributes(file, attributes)


def stated_terminal_rewards(path: Path) -> str | None:
    """What ``tokens.h5`` states about rewards at terminals; None if that is nothing, or the file missing or damaged."""
    with suppress(SeqrlError), open_hdf5(path, _REMAKE_HINT) as file:
        stated = native_attributes(file).get("terminal_rewards")
        return stated if isinstance(stated, str) else None
    return None


def load_tokens(path: Path, dataset_id: str = "DATASET") -> TokenizedDataset:
    """Read ``tokens.h5``; the tokens themselves stay on the disk, mapped, and processes that read them share them.

    Raises:
        SeqrlError: the file is missing, damaged, of another kind, from a newer schema, or inconsistent.
    """
    try:
        return _load(path)
    except SeqrlError as error:
        raise type(error)(error.message, (error.hint or "").replace("DATASET", dataset_id)) from error


def _load(path: Path) -> TokenizedDataset:
    with open_hdf5(path, _REMAKE_HINT) as file:
        attributes: dict[str, Any] = native_attributes(file)
        _check_schema(path, attributes)
        arrays = {name: _read_array(file, path, name) for name in _ARRAYS}
    _check_edges(path, arrays["edges"])
    if "arrays_sha256" in attributes and attributes["arrays_sha256"] != _arrays_sha256(*arrays.values()):
        raise SeqrlError(f"{path} is damaged: its arrays are not those that were written", _REMAKE_HINT)

    def required(name: str, kind: type[_Value]) -> _Value:
        return _attribute(path, attributes, name, kind)

    def optional(name: str, kind: type[_Value]) -> _Value | None:
        return required(name, kind) if name in attributes else None

    dataset = TokenizedDataset(
        tokens=arrays["tokens"],
        offsets=arrays["offsets"],
        returns=arrays["returns"],
        discretizer=Discretizer(arrays["edges"], attributes["strategy"]),
        observation_dim=required("observation_dim", int),
        action_dim=required("action_dim", int),
        discount=required("discount", float),
        termination_penalty=optional("termination_penalty", float),
        dataset_id=required("dataset_id", str),
        env_id=optional("env_id", str),
        observation_slice=optional("observation_slice", int),
        fingerprint=required("fingerprint", str),
        episodes_sha256=optional("episodes_sha256", str),
        terminal_rewards=optional("terminal_rewards", str),
        choices=optional("choices", int),
    )
    _check_consistency(path, dataset)
    return dataset


def _arrays_sha256(*arrays: NDArray[Any]) -> str:
    """The hash of arrays, in the order of ``_ARRAYS``; what is mapped does not stay in memory."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        for start, stop in row_ranges(array):
            digest.update(np.ascontiguousarray(array[start:stop]).data)
            release(array)
    return digest.hexdigest()


def _read_array(file: h5py.File, path: Path, name: str) -> NDArray[Any]:
    if name not in file:
        raise SeqrlError(f"{path} is incomplete: it has no {name}", _REMAKE_HINT)
    stored = file[name]
    if not isinstance(stored, h5py.Dataset):
        raise SeqrlError(f"{path}: {name} is a group, not an array", _REMAKE_HINT)
    axes, types = _ARRAYS[name]
    if stored.ndim != axes or stored.dtype.name not in types or not stored.dtype.isnative:
        expected = f"{' or '.join(types)} with axes: {axes}"
        message = f"{path}: {name} is {stored.dtype} of shape {stored.shape}, not {expected}"
        raise SeqrlError(message, _REMAKE_HINT)
    mapped = Mapper().in_place(stored) if name == "tokens" else None
    return read_all(stored) if mapped is None else mapped


def _attribute(path: Path, attributes: dict[str, Any], name: str, kind: type[_Value]) -> _Value:
    """An attribute of the given kind; whole numbers count as floats, too."""
    if name not in attributes:
        raise SeqrlError(f"{path} is incomplete: it has no attribute {name}", _REMAKE_HINT)
    value = attributes[name]
    fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
    if not fits or (kind is float and not math.isfinite(value)):
        raise SeqrlError(f"{path}: its attribute {name} is {value!r}, not {_KINDS[kind]}", _REMAKE_HINT)
    return kind(value)


def _check_edges(path: Path, edges: NDArray[np.float64]) -> None:
    """Require edges ``(bins + 1, dims)`` of at least one bin, finite and non-decreasing; empty bins repeat an edge."""
    if len(edges) < 2:
        raise SeqrlError(f"{path}: edges has {len(edges)} rows, too few for one bin", _REMAKE_HINT)
    bad = ~np.isfinite(edges).all(axis=0)
    if bad.any():
        raise SeqrlError(f"{path}: edges of dimension {bad.argmax()} are not finite", _REMAKE_HINT)
    falling = (edges[1:] < edges[:-1]).any(axis=0)
    if falling.any():
        raise SeqrlError(f"{path}: edges of dimension {falling.argmax()} are not in ascending order", _REMAKE_HINT)


def _check_schema(path: Path, attributes: dict[str, Any]) -> None:
    if attributes.get("format") != _FORMAT or attributes.get("strategy") not in get_args(Strategy):
        raise SeqrlError(f"{path} is not a tokens file of seqrl", _REMAKE_HINT)
    version = attributes.get("schema_version")
    if version != SCHEMA_VERSION:
        raise SeqrlError(
            f"{path} has schema version {version}, this seqrl reads {SCHEMA_VERSION}",
            f"upgrade seqrl, or {_REMAKE_HINT}",
        )


def _check_consistency(path: Path, dataset: TokenizedDataset) -> None:
    offsets = dataset.offsets
    tokens = dataset.tokens
    is_consistent = (
        tokens.dtype == token_dtype(dataset.bins)
        and min(dataset.observation_dim, dataset.action_dim) >= 1
        and tokens.shape[1] == dataset.discretizer.dims == dataset.observation_dim + dataset.action_dim + 2
        and len(offsets) == len(dataset.returns) + 1
        and offsets[0] == 0
        and offsets[-1] == len(tokens)
        and bool((np.diff(offsets) > 0).all())
        and int(tokens.max(initial=0)) < dataset.bins
        and (dataset.choices is None or (dataset.action_dim == 1 and 1 <= dataset.choices <= dataset.bins))
    )
    if not is_consistent:
        raise SeqrlError(f"{path} is inconsistent: its arrays do not fit together", _REMAKE_HINT)
