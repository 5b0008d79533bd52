"""Writes that happen completely or not at all: temporary file in the same folder, fsync, rename.

A process that is killed leaves its temporary file behind. Whoever writes locks its temporary file, and the system
releases the lock when the process dies; so a temporary file without a lock is rubbish, which
:func:`remove_stale_temporaries` removes.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seqrl_cli.errors import SeqrlError, UsageError, shortened_path
from seqrl_cli.files.regular import NotRegularError, check_regular

_SPACE = "free some space, or write to another disk (--runs-dir, or -o for one file)"
_WRITABLE = "make the folder writable, or choose another (--runs-dir, or -o for one file)"
_ANOTHER = "choose another folder (--runs-dir, or -o for one file)"
_REASONS = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EFBIG: ("the file would be larger than this machine allows", "raise the limit: ulimit -f"),
    errno.EDQUOT: ("the disk quota is used up", _SPACE),
    errno.EROFS: ("the file system is read-only", _WRITABLE),
    errno.EACCES: ("permission denied", _WRITABLE),
    errno.EPERM: ("permission denied", _WRITABLE),
    errno.ENOENT: ("there is no such folder, and none can be made there", _ANOTHER),
    errno.ENOTDIR: ("a file is where a folder should be", _ANOTHER),
    errno.EEXIST: ("a file is where a folder should be", _ANOTHER),
}
_WRONG_NAMES = {
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter name"),
    errno.ELOOP: ("a link leads to itself", "give another name"),
}

GONE_HINT = "the same command starts over; if the folder is put back first, it resumes"

_RANDOM = "[a-z0-9_]{8}"  # as tempfile names files
_TEMPORARY = rf"\..+-{_RANDOM}\.tmp(\.\w+)?"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into a SeqrlError that names ``path`` and what to do; a UsageError for its name."""
    try:
        yield
    except OSError as error:
        if error_number(error) in _WRONG_NAMES:
            reason, hint = _WRONG_NAMES[error_number(error)]
            raise UsageError(f"cannot write {shortened_path(path)}: {reason}", hint) from error
        reason, hint = _REASONS.get(
            error_number(error), (error.strerror or str(error), "check the folder and the disk")
        )
        raise SeqrlError(f"cannot write {path}: {reason}", hint) from error


def error_number(error: OSError) -> int:
    """The number of an error, which HDF5 gives only in its message; 0 if unknown."""
    in_text = re.search(r"errno = (\d+)", str(error))
    return error.errno or (int(in_text.group(1)) if in_text else 0)


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        SeqrlError: the folder cannot be created.
    """
    with writing(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # also said of a link that leads to itself, of which stat tells
            with suppress(FileNotFoundError):
                path.stat()
            raise
    return path


def require_folder(path: Path) -> None:
    """Stop if a folder that is being written is gone, rather than write the rest of it into a new one.

    Raises:
        SeqrlError: somebody removed or renamed it.
    """
    if not path.is_dir():
        raise SeqrlError(f"{path} was removed or renamed while it was written", GONE_HINT)


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
        UsageError: ``path`` is a device or a pipe, or cannot be a name.
        SeqrlError: the folder cannot be written, or the disk is full.
    """
    _refuse_special(path)
    make_folder(path.parent)
    with writing(path):
        _remove_stale(path.parent, rf"\.{re.escape(path.stem)}-{_RANDOM}\.tmp{re.escape(path.suffix)}")
        descriptor, temporary = _locked_temporary(path)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_UMASK)
            fsync(temporary)
            temporary.replace(path)
            fsync(path.parent)
        finally:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)


def _refuse_special(path: Path) -> None:
    """Stop before a device or a pipe is replaced by a file, as a user who may do anything would be allowed to."""
    try:
        check_regular(path)
    except NotRegularError as error:
        if not path.is_dir():  # which the system tells
            hint = "name a file, or send what is printed elsewhere with >"
            raise UsageError(f"cannot write {shortened_path(path)}: {error.strerror}", hint) from error
    except OSError:  # it is missing, or the attempt to write tells
        return


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """Descriptor and path of a new file beside ``path``, locked where the file system can."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}", dir=path.parent)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process is removing it, because it had no lock yet
            os.close(descriptor)
            continue
        except OSError:  # no locks here, and so nobody removes it
            return descriptor, Path(name)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)


def is_temporary(name: str) -> bool:
    """Whether a file's name is one under which a file is written before it is complete."""
    return re.fullmatch(_TEMPORARY, name) is not None


def remove_stale_temporaries(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder and in those below it that have no lock.

    Args:
        folder: the folder, whose lock the caller holds. Temporary files of living processes are kept anyway.
    """
    _remove_stale(folder, _TEMPORARY)
    with suppress(OSError):
        for below in folder.iterdir():
            if below.is_dir() and not below.is_symlink() and not (below / ".lock").exists():
                _remove_stale(below, _TEMPORARY)


def _remove_stale(folder: Path, pattern: str) -> None:
    """Remove the temporary files of dead processes whose names match; what cannot be removed stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (
                entry.name.startswith(".")
                and re.fullmatch(pattern, entry.name)
                and entry.is_file(follow_symlinks=False)
            ):
                _remove_unless_locked(Path(entry.path))


def _remove_unless_locked(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


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


_UMASK = _umask()  # read once: it belongs to the whole process, whose threads may write at the same time


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
