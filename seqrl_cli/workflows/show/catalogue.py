"""``seqrl download --list``: print the known datasets and checkpoints."""

from __future__ import annotations

from typing import Any

from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import DatasetSpec, list_datasets
from seqrl_cli.data.pretrained import Pretrained, pretrained_checkpoints
from seqrl_cli.errors import UsageError
from seqrl_cli.runs.name_pattern import matches
from seqrl_cli.runs.store import RunStore

_ORIGINS = {
    "sim": "simulated here, without a network",
    "d4rl": "fetched from Berkeley",
    "minari": "fetched from Hugging Face",
    "l2m": "fetched from Hugging Face",
}


def show_catalogue(store: RunStore, console: Console, pattern: str | None) -> None:
    """List every known dataset, or those that match a pattern (with ``*`` and ``?``, else a part of the name).

    Raises:
        UsageError: nothing matches.
    """
    rows = [_row(store, spec) for spec in list_datasets() if matches(spec.id, pattern)]
    checkpoints = [
        _checkpoint_row(store, checkpoint)
        for name, checkpoint in pretrained_checkpoints().items()
        if matches(name, pattern)
    ]
    if not rows and not checkpoints:
        raise UsageError(f"no dataset matches {pattern!r}", "`seqrl download --list` lists all")
    console.emit({"datasets": rows, "checkpoints": checkpoints})
    groups: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["source"], row["extra"]), []).append(row)
    for group in groups.values():
        _show(console, group)
    if checkpoints:
        title = f"pretrained: checkpoints of other projects, imported as runs, licence {checkpoints[0]['licence']}"
        cells = [[row["checkpoint"], "yes" if row["here"] else ""] for row in checkpoints]
        console.show_rows(["checkpoint", "here"], cells, title=title)
    _explain(console, rows)


def _row(store: RunStore, spec: DatasetSpec) -> dict[str, Any]:
    return {
        "dataset": spec.id,
        "source": spec.source,
        "environment": spec.env_id,
        "bytes": spec.size,
        "licence": spec.licence,
        "reference_min": spec.reference_min,
        "reference_max": spec.reference_max,
        "extra": spec.extra,
        "extra_installed": is_installed(spec.extra) if spec.extra else None,
        "url": spec.url,
        "sha256": spec.files[0].sha256 if spec.files else None,
        "here": store.dataset(spec.id).dataset.exists(),
    }


def _checkpoint_row(store: RunStore, checkpoint: Pretrained) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint.id,
        "project": checkpoint.project,
        "dataset": checkpoint.dataset,
        "url": checkpoint.files[0].url,
        "licence": checkpoint.licence,
        "here": store.dataset(checkpoint.dataset).run(checkpoint.project).record.exists(),
    }


def _show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print a table of datasets with the same source and extra, without empty columns."""
    cells = {
        "dataset": [row["dataset"] for row in rows],
        "environment": [row["environment"] or "" for row in rows],
        "MB": ["" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.0f}" for row in rows],
        "scores 0, 100": [_scores(row) for row in rows],
        "here": ["yes" if row["here"] else "" for row in rows],
    }
    shown = {name: column for name, column in cells.items() if any(column)}
    console.show_rows(list(shown), list(zip(*shown.values(), strict=True)), title=_title(rows[0]))


def _title(row: dict[str, Any]) -> str:
    """The title of a table: what all of its rows share."""
    parts = [_ORIGINS[row["source"]]]
    if row["licence"]:
        parts.append(f"licence {row['licence']}")
    if row["extra"]:
        parts.append(f"extra {row['extra']}" + ("" if row["extra_installed"] else " (not installed)"))
    return f"{row['source']}: {', '.join(parts)}"


def _scores(row: dict[str, Any]) -> str:
    """The returns that score 0 and 100."""
    if row["reference_min"] is None:
        return ""
    return f"{row['reference_min']:.4g}, {row['reference_max']:.4g}"


def _explain(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print how to install the missing extras."""
    missing = [row for row in rows if row["extra_installed"] is False]
    simulated = {row["extra"] for row in missing if row["source"] == "sim"}
    for extra in sorted({row["extra"] for row in missing}):
        needs = "simulated data and planning need" if extra in simulated else "planning (but not downloading) needs"
        console.note(f"{needs} the extra {extra}: {install_line(extra)}")
