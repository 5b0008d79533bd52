"""``metrics.jsonl``: one JSON object a line, added at the end, and cut back when a run resumes from before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import make_folder, write_text_atomic, writing


def append_object(path: Path, values: Mapping[str, Any]) -> None:
    """Add one line to the file, which is made when absent.

    Raises:
        SeqrlError: the file cannot be written.
    """
    make_folder(path.parent)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(_line(values))


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of the file, in its order; an absent file is empty.

    A last line that was cut off by a kill is left out, and so is any line that holds no object: a log is read to be
    looked at, and one bad line must not hide the others.

    Raises:
        SeqrlError: the file cannot be opened.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror}", "check the permissions of the file") from error
    found = [_parsed(line) for line in text.split("\n")[:-1]]
    return [values for values in found if isinstance(values, dict)]


def keep_objects(path: Path, is_kept: Callable[[dict[str, Any]], bool]) -> None:
    """Drop every other object, so that a resumed run logs none twice; lines that hold no object go with them.

    Raises:
        SeqrlError: the file cannot be opened, or not be written.
    """
    if path.exists():
        write_text_atomic(path, "".join(_line(values) for values in read_objects(path) if is_kept(values)))


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values) + "\n"


def _parsed(line: str) -> Any:
    """What a line holds; None when that is not JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return None
