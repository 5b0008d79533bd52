"""Read files of ``torch.save``, in the zip layout and the older one, without executing anything in them."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.data.safe_pickle.machine import RefusedFileError
from seqrl_cli.data.safe_pickle.read import parse_pickle, read_bytes
from seqrl_cli.data.safe_pickle.vocabulary import Global, is_count
from seqrl_cli.errors import SeqrlError
from seqrl_cli.interop.checkpoint_data import CHECKPOINTS, STORAGE_DTYPES, PlainStorage, PlainTensor

MAX_FILE_BYTES = 2**30

# What various versions of torch.save write besides the pickle and the storages.
_SMALL_MEMBERS = {"version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


@dataclass(frozen=True)
class TorchFile:
    """The content of a file.

    Attributes:
        value: plain data, with a :class:`PlainTensor` for each tensor.
        storages: the tensors' numbers as bytes, by the key that the tensors refer to.
    """

    value: Any
    storages: dict[str, bytes]

    def tensor(self, plain: PlainTensor) -> Tensor:
        """A tensor with its own memory.

        Raises:
            ValueError: the storage is missing, or has another length than the tensor states.
        """
        storage = plain.storage
        data = self.storages.get(storage.key)
        if data is None:
            raise ValueError(f"storage {storage.key} is missing")
        if len(data) != storage.numel * storage.dtype.itemsize:
            raise ValueError(f"storage {storage.key} has {len(data):,} bytes, not {storage.numel:,} numbers")
        if not data:
            return torch.empty(plain.size, dtype=storage.dtype)
        numbers = torch.frombuffer(bytearray(data), dtype=storage.dtype)
        return numbers.as_strided(plain.size, plain.stride, plain.offset).clone()


def read_torch(path: Path) -> TorchFile:
    """Read a file of either layout.

    Raises:
        SeqrlError: it is missing, cut short or damaged.
        RefusedFileError: it contains anything but known data.
    """
    data = read_bytes(path, MAX_FILE_BYTES)
    return _read_zip(data, str(path)) if data[:4] == b"PK\x03\x04" else _read_legacy(data, str(path))


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
    claimed = sum(math.prod(value.size) * value.storage.dtype.itemsize for value in file.value.values())
    if claimed > MAX_FILE_BYTES:
        raise RefusedFileError(str(path), f"claims {claimed:,} bytes of weights, more than such a file may contain")
    try:
        return {name: file.tensor(value) for name, value in file.value.items()}
    except ValueError as error:
        raise SeqrlError(f"{path} is damaged: {error}", "copy the file again") from error


def _read_zip(data: bytes, source: str) -> TorchFile:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, len(data), source)
            if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
                raise RefusedFileError(source, "was written on a big-endian machine")
            value = parse_pickle(
                io.BytesIO(archive.read(members["data.pkl"])), source, CHECKPOINTS, _storage_reader(source)
            )
            keys = [name for name in members if name.startswith("data/")]
            return TorchFile(value, {key.removeprefix("data/"): archive.read(members[key]) for key in keys})
    except KeyError as error:
        raise SeqrlError(f"{source} is not a file of torch.save: it has no {error.args[0]}", "copy it again") from error
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SeqrlError(f"{source} is cut short or damaged: {error}", "copy the file again") from error


def _members(archive: zipfile.ZipFile, size: int, source: str) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by their path below the one folder that all of them are in."""
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > size:
        raise RefusedFileError(source, "is an archive whose members claim to be larger than the file")
    members: dict[str, zipfile.ZipInfo] = {}
    roots = set()
    for info in infos:
        root, name = _split(info, source)
        if name in members:
            raise RefusedFileError(source, f"has two members {name!r}")
        roots.add(root)
        members[name] = info
    if len(roots) != 1:
        raise RefusedFileError(source, f"has {len(roots)} top folders, where torch.save makes one")
    return members


def _split(info: zipfile.ZipInfo, source: str) -> tuple[str, str]:
    """A member's top folder and path below; refused unless torch.save could have written it."""
    name = info.orig_filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise RefusedFileError(source, f"has a member {name[:80]!r}, which points outside the archive")
    if info.compress_type != zipfile.ZIP_STORED:
        raise RefusedFileError(source, f"has a compressed member {name[:80]!r}, which torch.save never writes")
    if info.flag_bits & 1:
        raise RefusedFileError(source, f"has an encrypted member {name[:80]!r}")
    root, _, below = name.partition("/")
    is_storage = below.startswith("data/") and below.removeprefix("data/").isdigit()
    if not (is_storage or below == "data.pkl" or below in _SMALL_MEMBERS):
        raise RefusedFileError(source, f"has a member {name[:80]!r}, which does not belong to saved tensors")
    return root, below


def _read_legacy(data: bytes, source: str) -> TorchFile:
    """Read four pickles (magic number, version, platform, value), the storages' keys, and the storages themselves."""
    stream = io.BytesIO(data)
    if parse_pickle(stream, source, CHECKPOINTS) != _LEGACY_MAGIC:
        raise SeqrlError(f"{source} is not a file of torch.save", "a checkpoint is state_*.pt, or model_last.pt")
    if parse_pickle(stream, source, CHECKPOINTS) != _LEGACY_VERSION:
        raise SeqrlError(f"{source} is of an unknown version of torch.save", "save it again with a newer PyTorch")
    platform = parse_pickle(stream, source, CHECKPOINTS)
    if type(platform) is not dict or platform.get("little_endian") is not True:
        raise RefusedFileError(source, "was not written on a little-endian machine")
    read = _storage_reader(source)
    known: dict[str, PlainStorage] = {}

    def read_once(reference: Any) -> PlainStorage:
        storage = read(reference)
        return known.setdefault(storage.key, storage)

    value = parse_pickle(stream, source, CHECKPOINTS, read_once)
    keys = parse_pickle(stream, source, CHECKPOINTS)
    if type(keys) is not list or not all(type(key) is str and key in known for key in keys):
        raise RefusedFileError(source, "lists storages that no tensor refers to")
    return TorchFile(value, {key: _legacy_storage(stream, known[key], source) for key in keys})


def _legacy_storage(stream: io.BytesIO, storage: PlainStorage, source: str) -> bytes:
    header = stream.read(8)
    count = struct.unpack("<q", header)[0] if len(header) == 8 else -1
    data = stream.read(storage.numel * storage.dtype.itemsize)
    if count != storage.numel or len(data) != count * storage.dtype.itemsize:
        raise SeqrlError(f"{source} is cut short: storage {storage.key} is incomplete", "copy the file again")
    return data


def _storage_reader(source: str) -> Any:
    """A function that turns ``("storage", type, key, location, numel)`` into a :class:`PlainStorage`."""

    def read(reference: Any) -> PlainStorage:
        whole = type(reference) is tuple and (len(reference) == 5 or (len(reference) == 6 and reference[5] is None))
        if not whole or type(reference[0]) is not str or reference[0] != "storage":
            raise RefusedFileError(source, "refers to something outside of the pickle that is not a tensor storage")
        kind, key, numel = reference[1], reference[2], reference[4]
        if (
            not isinstance(kind, Global)
            or kind.name not in STORAGE_DTYPES
            or type(key) is not str
            or not is_count(numel)
        ):
            raise RefusedFileError(source, "refers to a tensor storage by other values than a name, a key and a size")
        return PlainStorage(key, STORAGE_DTYPES[kind.name], numel)

    return read
