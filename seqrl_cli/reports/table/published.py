"""Published results: one YAML file per method under ``presets/published``, each with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.files.yaml_text import read_package_yaml


@dataclass(frozen=True)
class PublishedMethod:
    """One method's published figures.

    Attributes:
        name: column title, for example ``"CQL"``.
        latex_name: column title in the published table.
        title: the method's full name.
        paper: the paper that introduced it.
        source: where the figures are taken from.
        data: a caveat about the data behind the figures; may be empty.
        order: position among the columns.
        in_table: whether the published table has this column.
        scores: normalized score by dataset id, where 100 is the reference policy.
        errors: standard error of the score by dataset id; may be empty.
    """

    name: str
    latex_name: str
    title: str
    paper: str
    source: str
    data: str
    order: int
    in_table: bool
    scores: dict[str, float]
    errors: dict[str, float]


def load_published(folder: Path) -> list[PublishedMethod]:
    """Read every method in ``folder`` that the published table shows, in its order of columns."""
    methods = [_load_method(path) for path in sorted(folder.glob("*.yaml"))]
    return sorted((method for method in methods if method.in_table), key=lambda method: method.order)


def published_notes(methods: Sequence[PublishedMethod]) -> list[str]:
    """Source and caveats of the figures; methods that share a note are listed together."""
    notes: dict[str, list[str]] = {}
    for method in methods:
        notes.setdefault(f"figures from {method.source}", []).append(method.name)
    for method in methods:
        if method.data:
            notes.setdefault(method.data, []).append(method.name)
    return [f"{', '.join(names)}: {note}" for note, names in notes.items()]


def _load_method(path: Path) -> PublishedMethod:
    content = read_package_yaml(path)
    return PublishedMethod(
        name=content["name"],
        latex_name=content.get("latex_name", content["name"]),
        title=content["title"],
        paper=content["paper"],
        source=content["source"],
        data=content.get("data", ""),
        order=content["order"],
        in_table=content.get("in_table", True),
        scores=content["scores"],
        errors=content.get("errors", {}),
    )
