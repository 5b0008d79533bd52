"""Pickle programs spelled by hand, and files of torch.save around them."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import Any

END = b"."
MARK, REDUCE, BUILD, NEWOBJ = b"(", b"R", b"b", b"\x81"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return MARK + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + REDUCE


def dict_of(**items: bytes) -> bytes:
    return b"}" + MARK + b"".join(text(key) + value for key, value in items.items()) + b"u"


def storage(key: str = "0", numel: int = 4, kind: bytes = b"") -> bytes:
    kind = kind or name("torch", "FloatStorage")
    size = b"\x8a\x08" + struct.pack("<q", numel)
    return tuple_of(text("storage"), kind, text(key), text("cpu"), size) + b"Q"


def tensor(source: bytes, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), hooks: bytes = b")") -> bytes:
    def numbers(values: tuple[int, ...]) -> bytes:
        return tuple_of(*(b"\x8a\x08" + struct.pack("<q", value) for value in values))

    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, source, b"K\x00", numbers(size), numbers(stride), b"\x89", hooks)


def zip_file(program: bytes, **storages: bytes) -> bytes:
    """The zip layout around a program, storages by key."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", "3\n")
        for key, data in (storages or {"0": bytes(16)}).items():
            archive.writestr(f"archive/data/{key.lstrip('_')}", data)
    return buffer.getvalue()


def legacy_file(program: bytes, keys: Any = ("0",), storages: bytes = struct.pack("<q", 4) + bytes(16)) -> bytes:
    """The layout before zip around a program."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    pickles = [pickle.dumps(value, protocol=2) for value in head]
    return b"".join([*pickles, program, pickle.dumps(list(keys), protocol=2), storages])
