"""Read untrusted pickles as plain data: nothing that they name is imported or called.

A pickle is a program for a small stack machine, and Python's machine calls whatever the program names. The machine
here, :mod:`~seqrl_cli.data.safe_pickle.machine`, does not. Python's ``pickletools`` splits the program into
instructions, which executes nothing and reads no further than the bytes of the file.
"""

from __future__ import annotations

import io
import pickletools
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from seqrl_cli.data.safe_pickle.machine import Machine, PersistentLoad, RefusedFileError
from seqrl_cli.data.safe_pickle.vocabulary import Vocabulary
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files import regular

MAX_PICKLE_BYTES = 64 * 2**20
MAX_INSTRUCTIONS = 300_000
_MAX_LINE = 2**16


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file's bytes.

    Raises:
        SeqrlError: it is missing, cannot be read, or is larger than ``limit``.
    """
    try:
        return regular.read_bytes(path, limit)
    except regular.TooLargeError as error:
        raise RefusedFileError(str(path), str(error.strerror).removeprefix("it ")) from error
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", "check that the folder is complete") from error
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror or error}", "check the file") from error


class BoundedFile:
    """A file of known length that is never read beyond its end.

    Args:
        file: open for reading bytes.
        size: its length.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int) -> bytes:
        """Read at most ``count`` bytes; allocates only for bytes that exist."""
        data = self._file.read(count if 0 <= count < self._left else self._left)
        self._left -= len(data)
        return data

    def readline(self) -> bytes:
        """Read a line, such as the name of a class; cut if longer than any name."""
        line = self._file.readline(_MAX_LINE)
        self._left = max(0, self._left - len(line))
        return line


def read_pickle(path: Path, vocabulary: Vocabulary) -> Any:
    """Read the plain data of a small pickle file.

    Args:
        path: the file.
        vocabulary: names that it may use.

    Raises:
        SeqrlError: it is missing or damaged.
        RefusedFileError: it contains anything but known data.
    """
    return parse_pickle(io.BytesIO(read_bytes(path, MAX_PICKLE_BYTES)), str(path), vocabulary)


def parse_pickle(
    stream: io.BytesIO | BoundedFile,
    source: str,
    vocabulary: Vocabulary,
    persistent_load: PersistentLoad | None = None,
    max_instructions: int = MAX_INSTRUCTIONS,
) -> Any:
    """Read the plain data of one pickle, which other bytes may follow.

    Args:
        stream: read up to the pickle's end.
        source: name of the file in errors.
        vocabulary: names that it may use.
        persistent_load: turns references to storages of tensors into plain objects; None if there are none.
        max_instructions: limit on its length.

    Raises:
        SeqrlError: the pickle is truncated or damaged.
        RefusedFileError: it contains anything but known data.
    """
    machine = Machine(source, vocabulary, persistent_load)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], stream))):
            if count >= max_instructions:
                raise RefusedFileError(source, f"takes more than {max_instructions:,} instructions to read")
            if opcode.name == "STOP":
                return machine.result()
            machine.execute(opcode.name, argument)
    except (ValueError, IndexError) as error:
        raise SeqrlError(f"{source} is not a whole pickle: {_reason(error)}", "copy the file again") from error
    raise AssertionError("pickletools ends at STOP or raises")


def _reason(error: Exception) -> str:
    return "an instruction lacks its operands" if isinstance(error, IndexError) else str(error).rstrip(".")
