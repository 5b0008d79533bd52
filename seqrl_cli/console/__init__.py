"""What a command prints: results on stdout, everything else on stderr, progress only on a terminal.

- ``console``: the ``Console`` of one command.
- ``tables``: tables of rows and lists of facts, as Rich draws them.
- ``bars``: a progress bar on a terminal; ``progress``: lines of progress elsewhere.
- ``diagnostics``: the stream of notes and errors, which never fails.
- ``text``: numbers, durations and sizes as text.
"""

from seqrl_cli.console.console import Console, OutputError
from seqrl_cli.console.progress import Progress
from seqrl_cli.console.text import (
    amount,
    byte_size,
    counted,
    duration,
    percent,
    printable,
    public_words,
    shown_url,
    typed_command,
    with_error,
)

__all__ = [
    "Console",
    "OutputError",
    "Progress",
    "amount",
    "byte_size",
    "counted",
    "duration",
    "percent",
    "printable",
    "public_words",
    "shown_url",
    "typed_command",
    "with_error",
]
