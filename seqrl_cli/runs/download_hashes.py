"""``downloads.json`` in the run directory: the hash of each file when it was first downloaded."""

from __future__ import annotations

from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, write_json_atomic, writing
from seqrl_cli.files.json_fields import JsonFieldError, read_object
from seqrl_cli.files.locks import FileLock

DOWNLOADS_NAME = "downloads.json"


def recorded_hash(root: Path, url: str) -> str | None:
    """The SHA-256 of a URL's file when it was first downloaded; None if it never was.

    Raises:
        SeqrlError: ``downloads.json`` is damaged.
    """
    return _read(root / DOWNLOADS_NAME).get(url)


def has_hash_below(root: Path, prefix: str) -> bool:
    """Whether a file was downloaded whose URL starts with ``prefix``.

    Raises:
        SeqrlError: ``downloads.json`` is damaged.
    """
    return any(url.startswith(prefix) for url in _read(root / DOWNLOADS_NAME))


def record_hash(root: Path, url: str, sha256: str) -> None:
    """Record the SHA-256 of a URL's file, unless one is already recorded."""
    make_folder(root)
    path = root / DOWNLOADS_NAME
    with writing(path), FileLock(root / f".{DOWNLOADS_NAME}.lock"):
        hashes = _read(path)
        if url not in hashes:
            write_json_atomic(path, {**hashes, url: sha256})


def _read(path: Path) -> dict[str, str]:
    hint = "repair it, or delete it to forget all hashes"
    if not path.exists():
        return {}
    try:
        hashes = read_object(path)
    except JsonFieldError as error:
        raise SeqrlError(f"{path} does not map URLs to hashes: {error}", hint) from error
    if not all(isinstance(value, str) for value in hashes.values()):
        raise SeqrlError(f"{path} does not map URLs to hashes", hint)
    return hashes
