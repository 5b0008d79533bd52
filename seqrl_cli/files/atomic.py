"""Writes that happen completely or not at all: temporary file in the same folder, fsync, rename."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqrl_cli.errors import SeqrlError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space, or choose another disk with --runs-dir"),
    errno.EFBIG: ("the file would be larger than this machine allows", "raise the limit: ulimit -f"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or choose another disk with --runs-dir"),
    errno.EROFS: ("the file system is read-only", "choose a writable folder with --runs-dir"),
    errno.EACCES: ("permission denied", "choose a writable folder with --runs-dir"),
    errno.EPERM: ("permission denied", "choose a writable folder with --runs-dir"),
    errno.ENOTDIR: ("a file is where a folder should be", "choose another folder with --runs-dir"),
    errno.EEXIST: ("a file is where a folder should be", "choose another folder with --runs-dir"),
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into a SeqrlError that names ``path`` and what to do."""
    try:
        yield
    except OSError as error:
        reason, hint = _REASONS.get(_number(error), (error.strerror or str(error), "check the folder and the disk"))
        raise SeqrlError(f"cannot write {path}: {reason}", hint) from error


def _number(error: OSError) -> int:
    """The error number, which HDF5 gives only in its message."""
    in_text = re.search(r"errno = (\d+)", str(error))
    return error.errno or (int(in_text.group(1)) if in_text else 0)


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        SeqrlError: the folder cannot be created.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist.

    Raises:
        SeqrlError: it cannot be created, because a file is in the way or the place is not writable.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    with writing(folder):
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file is in the way")
        if os.statvfs(existing).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, "read-only")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "not writable")
        return shutil.disk_usage(existing).free


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block succeeds, fsync it and rename it to ``path``.

    The temporary file keeps the suffix of ``path``, because video writers choose the format by it. When the block
    raises, the temporary file is deleted and ``path`` is left as it was.

    Raises:
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    make_folder(path.parent)
    with writing(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            fsync(temporary)
            temporary.replace(path)
            fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text_atomic(path: Path, text: str) -> None:
    """Replace the text of ``path`` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Replace the content of ``path`` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json_atomic(path: Path, value: Any) -> None:
    """Replace ``path`` with ``value`` as indented JSON in one step; NaN is refused."""
    write_text_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
