"""Read files of ``torch.save``, in the zip layout and the older one, without executing anything in them."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.archives import ARCHIVE_ERRORS
from seqrl_cli.files.safe_pickle.machine import PersistentLoad, RefusedFileError
from seqrl_cli.files.safe_pickle.read import MAX_INSTRUCTIONS, parse_pickle, read_bytes
from seqrl_cli.files.safe_pickle.tensors import STORAGES, PlainStorage
from seqrl_cli.files.safe_pickle.vocabulary import Global, Vocabulary, is_count

MAX_FILE_BYTES = 2**30
ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# What various versions of torch.save write besides the pickle and the storages.
_SMALL_MEMBERS = {"version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


@dataclass(frozen=True)
class TorchFile:
    """The content of a file.

    Attributes:
        value: plain data, with a :class:`~seqrl_cli.files.safe_pickle.tensors.PlainTensor` for each tensor.
        storages: the tensors' numbers as bytes, by the key that the tensors refer to.
    """

    value: Any
    storages: dict[str, bytes]


def read_torch_file(path: Path, vocabulary: Vocabulary, max_instructions: int = MAX_INSTRUCTIONS) -> TorchFile:
    """Read a file of either layout.

    Args:
        path: the file.
        vocabulary: names that it may use.
        max_instructions: limit on the length of its pickle.

    Raises:
        SeqrlError: it is missing, cut short or damaged.
        RefusedFileError: it contains anything but known data.
    """
    return parse_torch_file(read_bytes(path, MAX_FILE_BYTES), str(path), vocabulary, max_instructions)


def parse_torch_file(
    data: bytes, source: str, vocabulary: Vocabulary, max_instructions: int = MAX_INSTRUCTIONS
) -> TorchFile:
    """Read the bytes of a file of either layout; arguments and errors as for :func:`read_torch_file`."""
    read = _read_zip if data[:4] == ZIP_START else _read_legacy
    return read(data, source, vocabulary, max_instructions)


def _read_zip(data: bytes, source: str, vocabulary: Vocabulary, limit: int) -> TorchFile:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, len(data), source)
            if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
                raise RefusedFileError(source, "was written on a big-endian machine")
            contents: dict[str, bytes] = {}
            stream = io.BytesIO(archive.read(members["data.pkl"]))
            value = parse_pickle(stream, source, vocabulary, _storage_reader(source, contents), limit)
            keys = [name for name in members if name.startswith("data/")]
            contents.update({key.removeprefix("data/"): archive.read(members[key]) for key in keys})
            return TorchFile(value, contents)
    except KeyError as error:
        raise SeqrlError(f"{source} is not a file of torch.save: it has no {error.args[0]}", "copy it again") from error
    except (*ARCHIVE_ERRORS, OSError, ValueError) as error:
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


def _read_legacy(data: bytes, source: str, vocabulary: Vocabulary, limit: int) -> TorchFile:
    """Read four pickles (magic number, version, platform, value), the storages' keys, and the storages themselves."""
    stream = io.BytesIO(data)
    if parse_pickle(stream, source, vocabulary) != _LEGACY_MAGIC:
        raise SeqrlError(f"{source} is not a file of torch.save", "a checkpoint is state_*.pt, or model_last.pt")
    if parse_pickle(stream, source, vocabulary) != _LEGACY_VERSION:
        raise SeqrlError(f"{source} is of an unknown version of torch.save", "save it again with a newer PyTorch")
    platform = parse_pickle(stream, source, vocabulary)
    if type(platform) is not dict or platform.get("little_endian") is not True:
        raise RefusedFileError(source, "was not written on a little-endian machine")
    contents: dict[str, bytes] = {}
    read = _storage_reader(source, contents)
    known: dict[str, PlainStorage] = {}

    def read_once(reference: Any) -> PlainStorage:
        storage = read(reference)
        return known.setdefault(storage.key, storage)

    value = parse_pickle(stream, source, vocabulary, read_once, limit)
    keys = parse_pickle(stream, source, vocabulary)
    if type(keys) is not list or not all(type(key) is str and key in known for key in keys):
        raise RefusedFileError(source, "lists storages that no tensor refers to")
    contents.update({key: _legacy_storage(stream, known[key], source) for key in keys})
    return TorchFile(value, contents)


def _legacy_storage(stream: io.BytesIO, storage: PlainStorage, source: str) -> bytes:
    header = stream.read(8)
    count = struct.unpack("<q", header)[0] if len(header) == 8 else -1
    data = stream.read(storage.numel * storage.itemsize)
    if count != storage.numel or len(data) != count * storage.itemsize:
        raise SeqrlError(f"{source} is cut short: storage {storage.key} is incomplete", "copy the file again")
    return data


def _storage_reader(source: str, contents: dict[str, bytes]) -> PersistentLoad:
    """A function that turns ``("storage", type, key, location, numel)`` into a :class:`PlainStorage`."""

    def read(reference: Any) -> PlainStorage:
        whole = type(reference) is tuple and (len(reference) == 5 or (len(reference) == 6 and reference[5] is None))
        if not whole or type(reference[0]) is not str or reference[0] != "storage":
            raise RefusedFileError(source, "refers to something outside of the pickle that is not a tensor storage")
        kind, key, numel = reference[1], reference[2], reference[4]
        if not isinstance(kind, Global) or kind.name not in STORAGES or type(key) is not str or not is_count(numel):
            raise RefusedFileError(source, "refers to a tensor storage by other values than a name, a key and a size")
        return PlainStorage(key, STORAGES[kind.name], numel, contents)

    return read
