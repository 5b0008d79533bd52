"""Hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from seqrl_cli.files.regular import open_regular


def file_sha256(path: Path) -> str:
    """SHA-256 of a regular file, as hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
