"""Names in foreign files as plain text in LaTeX, Markdown and spreadsheets: nothing in them is a command there."""

from __future__ import annotations

import re

from seqrl_cli.console.text import printable

_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
    }
)
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*[]|~"})
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# An underscore within a word is no emphasis; addresses become links by themselves.
_MARKDOWN_MARKS = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|(?<=www)\.|:(?=//)", re.IGNORECASE)
_FORMULA = re.compile(r"(?:\A|(?<=;))(?=\s*[=+\-@＝＋－＠]|[\t\r\n])")
_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.IGNORECASE)


def latex(text: str) -> str:
    """Text for a LaTeX document."""
    return _one_line(text).translate(_LATEX)


def markdown(text: str) -> str:
    """Text within a line of Markdown or a cell of a table."""
    return _MARKDOWN_MARKS.sub(r"\\\g<0>", _one_line(text).translate(_MARKDOWN)).translate(_HTML)


def spreadsheet(text: str) -> str:
    """Text for a cell of CSV: spreadsheets take nothing in it for a formula; numbers stay numbers."""
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub("'", printable(text))


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
