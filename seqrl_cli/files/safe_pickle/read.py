"""Read untrusted pickles as plain data: nothing that they name is imported or called.

A pickle is a program for a small stack machine, and Python's machine calls whatever the program names. The machine
here, :mod:`~seqrl_cli.files.safe_pickle.machine`, does not. Python's ``pickletools`` splits the program into
instructions, which executes nothing and reads no further than the bytes of the file.
"""

from __future__ import annotations

import codecs
import gc
import io
import os
import pickletools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from seqrl_cli.console import counted
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files import regular
from seqrl_cli.files.safe_pickle.machine import Instruction, Machine, PersistentLoad, RefusedFileError
from seqrl_cli.files.safe_pickle.open_machine import OpenMachine
from seqrl_cli.files.safe_pickle.vocabulary import Vocabulary

MAX_PICKLE_BYTES = 64 * 2**20
MAX_INSTRUCTIONS = 300_000

_FEW = 4096
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
    """A file of known length, of which no read allocates more than there is.

    Args:
        file: open for reading bytes.
        size: length of the file in bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.read_code = file.read
        """Reads the few bytes of an instruction, without a check."""

    def read(self, count: int) -> bytes:
        """Read at most ``count`` bytes; allocates only for bytes that exist."""
        return self._file.read(count if 0 <= count < _FEW else min(count, self.left))

    def readline(self) -> bytes:
        """Read a line, which is a name, a number, or an array's bytes in protocol 0."""
        return self._file.readline(self.left)

    def skip_blanks(self) -> bool:
        """Skip spaces, ends of lines and zeros; whether anything follows."""
        while found := self._file.read(1):
            if found not in b" \r\n\0":
                self._file.seek(-1, os.SEEK_CUR)
                return True
        return False

    @property
    def left(self) -> int:
        """How many bytes are unread."""
        return max(0, self._size - self._file.tell())


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
        stream: the file or bytes, which are read up to the pickle's end.
        source: name of the file in errors.
        vocabulary: names that it may use.
        persistent_load: turns references to storages of tensors into plain objects; None if there are none.
        max_instructions: limit on its length.

    Raises:
        SeqrlError: the pickle is truncated or damaged.
        RefusedFileError: it contains anything but known data.
    """
    return _run(_machine(source, vocabulary, persistent_load), stream, source, max_instructions)


def parse_pickles(stream: BoundedFile, source: str, vocabulary: Vocabulary, max_instructions: int) -> list[Any]:
    """Read the plain data of pickles that follow each other up to the end of a file, as several dumps write them.

    Arguments and errors are as for :func:`parse_pickle`; limits are those of all pickles together.

    Raises:
        SeqrlError: something else than blanks follows a pickle.
    """
    machine = _machine(source, vocabulary, None)
    values = [_run(machine, stream, source, max_instructions)]
    while stream.skip_blanks():
        left, read = stream.left, counted(len(values), "pickle")
        max_instructions -= machine.executed
        used, machine = machine.memory, _machine(source, vocabulary, None)
        machine.memory = used
        try:
            values.append(_run(machine, stream, source, max_instructions))
        except RefusedFileError:
            raise
        except SeqrlError as error:
            message = f"{source} has {left:,} more bytes after its {read}, which are not another"
            raise SeqrlError(message, "save one list of all episodes") from error
    return values


def _machine(source: str, vocabulary: Vocabulary, persistent_load: PersistentLoad | None) -> Machine:
    return (OpenMachine if vocabulary.is_open else Machine)(source, vocabulary, persistent_load)


def _run(machine: Machine, stream: io.BytesIO | BoundedFile, source: str, max_instructions: int) -> Any:
    """Run one pickle on a fresh machine."""
    try:
        with _without_collection():
            machine.executed = _execute(machine, stream, max_instructions, source)
        return machine.result()
    except (ValueError, IndexError) as error:
        raise SeqrlError(f"{source} is not a whole pickle: {_reason(error)}", "copy the file again") from error


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python's search for unused cycles would look again and again at millions of objects that are all in use."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _execute(machine: Machine, stream: io.BytesIO | BoundedFile, max_instructions: int, source: str) -> int:
    """Execute a pickle's instructions up to STOP, and count them; raises ValueError or IndexError for damage.

    Hostile programs have millions of them, so this looks up all that an instruction needs at once.
    """
    known = _INSTRUCTIONS[type(machine)]
    file = cast(IO[bytes], stream)
    max_memory = machine.max_memory
    next_code = stream.read_code if isinstance(stream, BoundedFile) else stream.read
    for executed in range(max_instructions):
        code = next_code(1)
        if code == b".":
            return executed + 1
        instruction = known.get(code)
        if instruction is None:
            raise _unknown(machine, code, file)
        execute, read_operand, cost = instruction
        machine.memory += cost
        if machine.memory > max_memory:
            raise machine.refuse_memory()
        execute(machine, read_operand(file) if read_operand else None)
    raise RefusedFileError(source, f"takes more than {max_instructions:,} instructions to read")


def _instructions(kind: type[Machine]) -> dict[bytes, tuple[Instruction, Callable[[IO[bytes]], Any] | None, int]]:
    """For each code, what executes the instruction, what reads its operand, and how much memory it takes."""
    return {
        code: (kind.instructions[opcode.name], _operand_reader(opcode), kind.costs.get(opcode.name, kind.usual_cost))
        for code, opcode in _OPCODES.items()
        if opcode.name in kind.instructions
    }


def _operand_reader(opcode: pickletools.OpcodeInfo) -> Callable[[IO[bytes]], Any] | None:
    if opcode.arg is None:
        return None
    return _READERS.get(opcode.arg.name, opcode.arg.reader)


def _unknown(machine: Machine, code: bytes, file: IO[bytes]) -> Exception:
    if opcode := _OPCODES.get(code):
        if read_operand := _operand_reader(opcode):
            read_operand(file)  # a file that is cut short is damaged, whatever it contains
        return machine.refuse_instruction(opcode.name)
    return ValueError(f"it has the unknown instruction {code!r}" if code else "it ends before its last instruction")


def _one_byte(file: IO[bytes]) -> int:
    return file.read(1)[0]


def _two_lines(file: IO[bytes]) -> str:
    """A module's name and one in it, with a space between them."""
    lines = file.readline(), file.readline()
    if not lines[1].endswith(b"\n"):
        raise ValueError("a name has no end")
    return b" ".join(line[:-1] for line in lines).decode()


def _quoted_bytes(file: IO[bytes]) -> str:
    """A text of protocol 0, which contains Python 2's bytes; ``pickletools`` would demand ASCII."""
    line = file.readline()
    quoted = line.removesuffix(b"\n").strip()
    if not line.endswith(b"\n") or len(quoted) < 2 or quoted[0] != quoted[-1] or quoted[:1] not in (b"'", b'"'):
        raise ValueError("a text has no end")
    return codecs.escape_decode(quoted[1:-1])[0].decode("latin-1")


def _reason(error: Exception) -> str:
    return "an instruction lacks its operands" if isinstance(error, IndexError) else str(error).rstrip(".")


# Operands that are read otherwise than by ``pickletools``, or faster.
_READERS: dict[str, Callable[[IO[bytes]], Any]] = {
    "stringnl": _quoted_bytes,
    "uint1": _one_byte,
    "stringnl_noescape_pair": _two_lines,
}
_INSTRUCTIONS = {kind: _instructions(kind) for kind in (Machine, OpenMachine)}
