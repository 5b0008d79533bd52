"""``seqrl download --list``: every dataset that has a name, and what is known of it."""

from __future__ import annotations

import fnmatch
from typing import Any

from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import DatasetSpec, list_datasets
from seqrl_cli.data.pretrained import Pretrained, pretrained_checkpoints
from seqrl_cli.errors import UsageError
from seqrl_cli.runs.store import RunStore

_ORIGINS = {
    "sim": "simulated here, without a network",
    "d4rl": "fetched from Berkeley",
    "minari": "fetched from Hugging Face",
}


def show_catalogue(store: RunStore, console: Console, pattern: str | None) -> None:
    """List every known dataset, or those that fit a pattern (``*`` and ``?``, else a part of the name).

    Raises:
        UsageError: nothing fits.
    """
    wanted = pattern if pattern and any(sign in pattern for sign in "*?[") else f"*{pattern or ''}*"
    rows = [_row(store, spec) for spec in list_datasets() if fnmatch.fnmatch(spec.id, wanted)]
    checkpoints = [
        _checkpoint_row(store, one) for name, one in pretrained_checkpoints().items() if fnmatch.fnmatch(name, wanted)
    ]
    if not rows and not checkpoints:
        raise UsageError(f"no dataset fits {pattern!r}", "`seqrl download --list` shows all")
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
    """A table of sets that have source and extra in common, with the columns that say something."""
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
    """What holds for every row of a table."""
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
    """How to get the extras that are missing."""
    missing = sorted({row["extra"] for row in rows if row["extra_installed"] is False})
    for extra in missing:
        console.note(f"{extra}, to plan with such data, not to download it: {install_line(extra)}")
