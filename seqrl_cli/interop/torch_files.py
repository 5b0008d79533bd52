"""Weights in files of ``torch.save``, as tensors; nothing in them is executed."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from seqrl_cli.data.safe_pickle.machine import RefusedFileError
from seqrl_cli.data.safe_pickle.tensors import PlainStorage, PlainTensor
from seqrl_cli.data.safe_pickle.torch_container import MAX_FILE_BYTES, TorchFile, read_torch_file
from seqrl_cli.errors import SeqrlError
from seqrl_cli.interop.checkpoint_data import CHECKPOINTS, STORAGE_DTYPES


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
    """The tensors of a saved state dict, by name.

    Raises:
        SeqrlError: as :func:`read_torch`, or the file contains something else.
    """
    file = read_torch(path)
    if type(file.value) is not dict or not file.value:
        raise SeqrlError(f"{path} does not contain a model's weights", "it should be a state dict, by torch.save")
    for name, value in file.value.items():
        if type(name) is not str or not isinstance(value, PlainTensor):
            raise SeqrlError(
                f"{path} contains more than weights: {str(name)[:80]!r} is not a tensor", "save the state dict"
            )
    # Tensors may share a storage, but not so often that a small file fills the memory.
    claimed = sum(math.prod(value.size) * _itemsize(value) for value in file.value.values())
    if claimed > MAX_FILE_BYTES:
        raise RefusedFileError(str(path), f"claims {claimed:,} bytes of weights, more than such a file may contain")
    try:
        return {name: to_tensor(value) for name, value in file.value.items()}
    except ValueError as error:
        raise SeqrlError(f"{path} is damaged: {error}", "copy the file again") from error


def _itemsize(tensor: PlainTensor) -> int:
    assert isinstance(tensor.storage, PlainStorage)
    return tensor.storage.itemsize
