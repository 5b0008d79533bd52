"""Files that a picture can be written to; a command asks before it imports what draws."""

from __future__ import annotations

from pathlib import Path

from seqrl_cli.errors import UsageError

FORMATS = (".png", ".pdf", ".svg")


def check_format(output: Path) -> None:
    """Raise UsageError unless a picture can be written under this name."""
    if output.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write a picture as {output.suffix or 'a file without extension'}: {output}",
            f"end the name in one of {', '.join(FORMATS)}",
        )
