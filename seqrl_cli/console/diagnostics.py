"""The stream of notes, warnings and errors."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, TextIO


class Diagnostics:
    """A stream that drops what cannot be written: no work is lost because nobody reads about it.

    Args:
        stream: usually stderr; its disk may be full, its terminal closed, its pipe broken.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        try:
            return self._stream.write(text)
        except OSError:
            self._abandon()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        try:
            self._stream.flush()
        except OSError:
            self._abandon()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _abandon(self) -> None:
        """Lead the stream to nowhere, so that Python's last flush does not fail either."""
        with suppress(OSError):  # it has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
