"""Read untrusted pickles as plain data: nothing that they name is imported or called.

A pickle is a program for a small stack machine, and Python's machine calls whatever the program names. The machine
here, :mod:`~seqrl_cli.data.safe_pickle.machine`, does not. Python's ``pickletools`` splits the program into
instructions, which executes nothing and reads no further than the bytes of the file.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from seqrl_cli.data.safe_pickle.machine import Machine, PersistentLoad, RefusedFileError
from seqrl_cli.data.safe_pickle.open_machine import OpenMachine
from seqrl_cli.data.safe_pickle.vocabulary import Vocabulary
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files import regular

MAX_PICKLE_BYTES = 64 * 2**20
MAX_INSTRUCTIONS = 300_000

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


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
        """Read a line, which is a name, a number, or an array's bytes in protocol 0."""
        line = self._file.readline(self._left)
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
    kind = OpenMachine if vocabulary.is_open else Machine
    machine = kind(source, vocabulary, persistent_load)
    try:
        for count, (name, argument) in enumerate(_instructions(stream)):
            if count >= max_instructions:
                raise RefusedFileError(source, f"takes more than {max_instructions:,} instructions to read")
            if name == "STOP":
                return machine.result()
            machine.execute(name, argument)
    except (ValueError, IndexError) as error:
        raise SeqrlError(f"{source} is not a whole pickle: {_reason(error)}", "copy the file again") from error
    raise AssertionError("the instructions end at STOP, or raise")


def _instructions(stream: io.BytesIO | BoundedFile) -> Iterator[tuple[str, Any]]:
    """The program's instructions with their operands, in order; raises ValueError for damage."""
    file = cast(IO[bytes], stream)
    while True:
        code = stream.read(1)
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise ValueError(
                f"it has the unknown instruction {code!r}" if code else "it ends before its last instruction"
            )
        if opcode.name == "STRING":
            yield opcode.name, _quoted_bytes(stream.readline())
        else:
            yield opcode.name, None if opcode.arg is None else opcode.arg.reader(file)


def _quoted_bytes(line: bytes) -> str:
    """A text of protocol 0, which contains Python 2's bytes; ``pickletools`` would demand ASCII."""
    quoted = line.removesuffix(b"\n").strip()
    if not line.endswith(b"\n") or len(quoted) < 2 or quoted[0] != quoted[-1] or quoted[:1] not in (b"'", b'"'):
        raise ValueError("a text has no end")
    return codecs.escape_decode(quoted[1:-1])[0].decode("latin-1")


def _reason(error: Exception) -> str:
    return "an instruction lacks its operands" if isinstance(error, IndexError) else str(error).rstrip(".")
