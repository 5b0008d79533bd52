"""Write pickles of objects whose classes are not installed: a class name and a dictionary.

Python's pickler imports a class before it writes its name, so the instructions are written here. The protocol is 2,
which every Python 3 reads.
"""

from __future__ import annotations

import struct

from seqrl_cli.files.safe_pickle.vocabulary import Global

Plain = None | bool | int | float | str | Global | dict[str, "Plain"]


def dump_object(class_name: str, attributes: dict[str, Plain]) -> bytes:
    """A pickle of an instance of a class.

    Args:
        class_name: module and name of the class.
        attributes: the ``__dict__`` of the instance.

    Raises:
        struct.error: an integer does not fit into 32 bits.
    """
    return b"\x80\x02" + _spell(Global(class_name)) + b")\x81" + _spell(attributes) + b"b."


def _spell(value: Plain) -> bytes:
    """The instructions that push one value."""
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, Global):
        module, _, name = value.name.rpartition(".")
        return f"c{module}\n{name}\n".encode("ascii")
    if isinstance(value, str):
        text = value.encode("utf-8")
        return b"X" + struct.pack("<I", len(text)) + text
    return b"}(" + b"".join(_spell(key) + _spell(item) for key, item in value.items()) + b"u"
