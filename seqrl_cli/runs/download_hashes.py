"""``downloads.json`` in the run directory: the hash of each file when it was first downloaded."""

from __future__ import annotations

import json
from pathlib import Path

from filelock import FileLock

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, write_json_atomic, writing

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
    try:
        hashes = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SeqrlError(f"cannot read {path}: {error}", "repair it, or delete it to forget all hashes") from error
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise SeqrlError(f"{path} does not map URLs to hashes", "repair it, or delete it to forget all hashes")
    return hashes
