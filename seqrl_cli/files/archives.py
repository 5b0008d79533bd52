"""What reading a damaged zip archive raises."""

from __future__ import annotations

import lzma
import zipfile
import zlib

ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError)
"""What ``zipfile`` and its decompressors raise, besides :class:`OSError`."""
