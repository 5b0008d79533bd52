"""A console that remembers."""

from __future__ import annotations

import io

from seqrl_cli.console import Console


class Listener(Console):
    """Keeps what is said to stdout and stderr."""

    def __init__(self) -> None:
        super().__init__(stdout=io.StringIO(), stderr=io.StringIO())
