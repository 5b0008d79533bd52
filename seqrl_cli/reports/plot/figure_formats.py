"""The file formats of figures, in a module that imports little: a wrong name is refused before matplotlib loads."""

from __future__ import annotations

from pathlib import Path

from seqrl_cli.errors import UsageError

FIGURE_FORMATS = (".png", ".pdf", ".svg")


def check_figure_format(output: Path) -> None:
    """Raise UsageError unless a figure can be written under this name."""
    if output.suffix.lower() not in FIGURE_FORMATS:
        raise UsageError(
            f"cannot write a picture as {output.suffix or 'a file without extension'}: {output}",
            f"end the name in one of {', '.join(FIGURE_FORMATS)}",
        )
