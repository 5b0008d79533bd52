"""The page: sections of tables, figures and videos in one file, whose policy forbids it to load anything.

Whatever comes from runs, such as their names, is escaped. Data of figures is JSON in which no tag can end the element.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from seqrl_cli.console.text import printable
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import open_regular

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data:; base-uri 'none'; form-action 'none'"
)
_MARK = '<meta name="generator" content="seqrl report">'
_STYLE = """
:root { color-scheme: light; --ink: #222; --soft: #666; --line: #ddd; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto; max-width: 1100px; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p, figcaption { color: var(--soft); margin: .25rem 0; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { font-weight: 600; border-bottom: 2px solid var(--ink); white-space: nowrap; }
td { overflow-wrap: break-word; max-width: 24rem; }
td.number, th.number { text-align: right; white-space: nowrap; }
figure { margin: 1rem 0; } img, video { max-width: 100%; height: auto; border: 1px solid var(--line); }
.videos { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }
"""
_DRAW = """
for (const place of document.querySelectorAll("[data-figure]")) {
  const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displaylogo: false});
}
"""


@dataclass(frozen=True)
class HtmlTable:
    """A table: its columns, which of them are numbers, and its rows as text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()

    def html(self) -> str:
        """The table as markup."""
        head = "".join(self._cell("th", index, name) for index, name in enumerate(self.columns))
        body = "".join(
            f"<tr>{''.join(self._cell('td', index, cell) for index, cell in enumerate(row))}</tr>\n"
            for row in self.rows
        )
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'

    def _cell(self, tag: str, index: int, text: str) -> str:
        kind = ' class="number"' if index in self.numbers else ""
        return f"<{tag}{kind}>{text_of(text)}</{tag}>"


@dataclass(frozen=True)
class Section:
    """A part of the page: a title, then markup that this package made."""

    anchor: str
    title: str
    parts: Sequence[str]


def text_of(text: str) -> str:
    """Any text as text of HTML, without control characters."""
    return escape(printable(text))


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{text_of(text)}</p>"


def figure(title: str, about: str, number: int, content: dict[str, Any]) -> str:
    """A figure of plotly's below its title and a line about it, and its data."""
    name = f"figure-{number}"
    return (
        f"<h3>{text_of(title)}</h3>\n{paragraph(about) if about else ''}\n"
        f'<figure data-figure="{name}-data" id="{name}"></figure>\n'
        f'<script type="application/json" id="{name}-data">{safe_json(content)}</script>'
    )


def media(title: str, kind: str, data: bytes) -> str:
    """A picture or a video within the page; ``kind`` is its MIME type, which this package chooses."""
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    shown = (
        f'<video controls loop muted playsinline src="{source}"></video>'
        if kind.startswith("video/")
        else f'<img alt="{text_of(title)}" src="{source}">'
    )
    return f"<figure>{shown}<figcaption>{text_of(title)}</figcaption></figure>"


def safe_json(value: Any) -> str:
    """JSON for a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def is_page(path: Path) -> bool:
    """Whether a file begins as those of :func:`page` do."""
    try:
        with open_regular(path) as file:
            return _MARK.encode() in file.read(500)
    except (OSError, SeqrlError):
        return False


def page(title: str, about: Iterable[str], sections: Sequence[Section], library: str | None) -> str:
    """The whole file.

    Args:
        title: title of the page.
        about: paragraphs below it, plain text.
        sections: the sections in order; those without parts are left out.
        library: JavaScript of plotly; None without figures to draw.
    """
    shown = [section for section in sections if section.parts]
    links = "".join(f'<a href="#{section.anchor}">{text_of(section.title)}</a>' for section in shown)
    body = "\n".join(
        f'<section id="{section.anchor}"><h2>{text_of(section.title)}</h2>\n'
        + "\n".join(section.parts)
        + "\n</section>"
        for section in shown
    )
    scripts = f"<script>{library}</script>\n<script>{_DRAW}</script>" if library else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{_MARK}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text_of(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{text_of(title)}</h1>\n{''.join(map(paragraph, about))}\n<nav>{links}</nav>\n{body}\n{scripts}\n"
        "</body>\n</html>\n"
    )
