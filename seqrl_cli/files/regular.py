"""Regular files, of which nothing is known: never a pipe or a device, and never more bytes than expected.

A folder from elsewhere may contain a pipe, which blocks whoever opens it, or a link to a device, which never ends. So
every file that others may have made is opened here. Errors are of two kinds: an ``OSError`` whose ``strerror`` follows
"cannot read X: ", and a :class:`TextError`, a ``ValueError`` whose text does.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from seqrl_cli.errors import SeqrlError

MAX_TEXT_BYTES = 16 * 2**20

_SMALL_BYTES = 64 * 2**20
_MAX_INFLATION = 100
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
    stat.S_IFLNK: "link",
}
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


class NotRegularError(OSError):
    """The path leads to a folder, a pipe, a device, a socket or, where links are not followed, a link."""


class TooLargeError(OSError):
    """The file has more bytes than such a file may have."""


class TextError(ValueError):
    """The file is not text in UTF-8."""


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path as a user types it: ``~/a.npz`` and ``~bob/a.npz`` are in home folders, ``~a.npz`` is a file here."""
    file = Path(path)
    return Path(os.path.expanduser(file)) if len(file.parts) > 1 or file == Path("~") else file


def check_regular(path: Path) -> None:
    """Before a library opens a file by its path: refuse what is not a regular file; links to files are followed.

    Raises:
        NotRegularError: it is something else.
        OSError: it is missing, or may not be looked at.
    """
    _refuse_special(path.stat().st_mode, path)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading bytes; links to files are followed.

    Raises:
        NotRegularError: it is a folder, a pipe, a device or a socket.
        OSError: it is missing or cannot be read.
    """
    check_regular(path)  # before it is opened, because some devices act on that
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    _check_open(descriptor, path)
    return open(descriptor, "rb")


def open_own(path: Path, mode: str, buffering: int = -1) -> BinaryIO:
    """Open a file of ours for writing bytes; a link is not followed, wherever it leads.

    Args:
        path: the file, which is created when absent.
        mode: ``wb`` empties the file, ``ab`` appends to it, and ``r+b`` writes into it.
        buffering: the buffering policy of Python's ``open``.

    Raises:
        NotRegularError: it is a link, a folder, a pipe, a device or a socket.
        OSError: it cannot be written.
    """
    flags = {"wb": os.O_WRONLY, "ab": os.O_WRONLY | os.O_APPEND, "r+b": os.O_RDWR}[mode]
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # what the flags make of links and pipes
            _refuse_special(path.lstat().st_mode, path)
        raise
    _check_open(descriptor, path)
    if mode == "wb":
        os.ftruncate(descriptor, 0)
    return cast(BinaryIO, open(descriptor, mode, buffering=buffering))


def _check_open(descriptor: int, path: Path) -> None:
    """Close what turns out to be no regular file, and raise."""
    try:
        _refuse_special(os.fstat(descriptor).st_mode, path)
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_special(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "special file")
        raise NotRegularError(errno.EINVAL, f"it is a {kind}, not a file", str(path))


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a whole file.

    Raises:
        TooLargeError: it has more than ``limit`` bytes.
        NotRegularError: it is not a regular file.
        OSError: it is missing or cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            message = f"it has {size:,} bytes, more than the {limit:,} that such a file may have"
            raise TooLargeError(errno.EFBIG, message, str(path))
        return file.read(size)  # not what is appended meanwhile


def contains(path: Path, content: bytes) -> bool:
    """Whether a path leads to a regular file of exactly this content."""
    try:
        return read_bytes(path, len(content)) == content
    except OSError:
        return False


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Read a text in UTF-8, with or without a byte order mark; line ends become newlines.

    Raises:
        TextError: it is not such a text.
        OSError: as :func:`read_bytes`.
    """
    return decode(read_bytes(path, limit)).replace("\r\n", "\n").replace("\r", "\n")


def decode(content: bytes) -> str:
    """Bytes as text in UTF-8, without a byte order mark.

    Raises:
        TextError: they are something else; names it.
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            raise TextError(f"it is text in {encoding}, not in UTF-8; save it again as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TextError(
            f"it is not text in UTF-8 (line {line} contains the byte 0x{content[error.start]:02x})"
        ) from error


def reason(error: OSError | ValueError) -> str:
    """What to say after ``cannot read X: `` of an error of this module, or of another that a file caused."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def check_size(claimed: int, file_bytes: int, source: str) -> None:
    """Refuse a file that claims far more data than its bytes can contain, which would fill the memory.

    Args:
        claimed: bytes of the arrays.
        file_bytes: bytes of the file; compression and constant columns may make it up to a hundred times smaller.
        source: name of the file in errors.

    Raises:
        SeqrlError: it claims more than a hundred times its size.
    """
    if claimed > _SMALL_BYTES + _MAX_INFLATION * file_bytes:
        message = f"{source} claims {claimed:,} bytes of arrays, which its {file_bytes:,} bytes cannot contain"
        raise SeqrlError(message, "nothing was read; get the file again from a source you trust")
