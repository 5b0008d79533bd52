"""Weights in files of ``torch.save``, as tensors; nothing in them is executed."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.machine import RefusedFileError
from seqrl_cli.files.safe_pickle.tensors import PlainStorage, PlainTensor
from seqrl_cli.files.safe_pickle.torch_container import MAX_FILE_BYTES, TorchFile, read_torch_file
from seqrl_cli.interop.checkpoint_data import CHECKPOINTS, STORAGE_DTYPES

_COMPILED = "_orig_mod."
# Under which names training loops save the weights beside other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "model_state", "weights")


def read_torch(path: Path) -> TorchFile:
    """Read a file of either layout.

    Raises:
        SeqrlError: it is missing, cut short or damaged.
        RefusedFileError: it contains anything but known data.
    """
    return read_torch_file(path, CHECKPOINTS)


def to_tensor(plain: PlainTensor) -> Tensor:
    """A tensor with its own memory.

    Raises:
        ValueError: the storage is missing, or has another length than the tensor states.
    """
    storage = plain.storage
    assert isinstance(storage, PlainStorage)
    data = storage.data()
    dtype = STORAGE_DTYPES[storage.code]
    if not data:
        return torch.empty(plain.size, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).as_strided(plain.size, plain.stride, plain.offset).clone()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a saved state dict, by name, without the prefixes of wrappers such as DataParallel.

    The state dict may also be an entry of a dictionary with numbers and texts beside it, as training loops save it.

    Raises:
        SeqrlError: as :func:`read_torch`, or the file contains something else.
    """
    file = read_torch(path)
    if type(file.value) is not dict or not file.value:
        raise SeqrlError(f"{path} does not contain a model's weights", "it should be a state dict, by torch.save")
    found = _without_prefixes(_weights(file.value, path), path)
    # Tensors may share a storage, but not so often that a small file fills the memory.
    claimed = sum(math.prod(value.size) * _itemsize(value) for value in found.values())
    if claimed > MAX_FILE_BYTES:
        raise RefusedFileError(str(path), f"claims {claimed:,} bytes of weights, more than such a file may contain")
    try:
        return {name: to_tensor(value) for name, value in found.items()}
    except ValueError as error:
        raise SeqrlError(f"{path} is damaged: {error}", "copy the file again") from error


def _weights(value: dict[Any, Any], path: Path) -> dict[str, PlainTensor]:
    """The state dict itself, or the one in a dictionary under a name that means it."""
    inner = [name for name in _WRAPPERS if type(value.get(name)) is dict]
    if len(inner) > 1:
        message = f"{path} contains several models: {', '.join(inner)}"
        raise SeqrlError(message, f"save one of them: torch.save(torch.load(FILE)[{inner[0]!r}], FILE)")
    state = value[inner[0]] if inner else value
    for name, entry in state.items():
        if type(name) is not str or not isinstance(entry, PlainTensor):
            what = f"{str(name)[:80]!r} is not a tensor"
            raise SeqrlError(f"{path} contains more than weights: {what}", "save the state dict")
    if not state:
        raise SeqrlError(f"{path} does not contain a model's weights", "it should be a state dict, by torch.save")
    return state


def _without_prefixes(state: dict[str, PlainTensor], path: Path) -> dict[str, PlainTensor]:
    """The same tensors under their names in the model.

    DataParallel, torch.compile, Lightning and others put one prefix before all names; ``torch.compile`` of a part of
    the model puts its own inside some of them.
    """
    common = os.path.commonprefix(list(state)) if len(state) > 1 else ""
    start = common[: common.rfind(".") + 1]
    state = {name.removeprefix(start): tensor for name, tensor in state.items()}
    plain: dict[str, PlainTensor] = {}
    for name, tensor in state.items():
        short = name.replace(_COMPILED, "")
        if short in plain:
            message = f"{path} contains {short!r:.80} twice, once with {_COMPILED!r} in its name"
            raise SeqrlError(message, "save one model per file")
        plain[short] = tensor
    return plain


def _itemsize(tensor: PlainTensor) -> int:
    assert isinstance(tensor.storage, PlainStorage)
    return tensor.storage.itemsize
