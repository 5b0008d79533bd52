"""Tables of a report: results, runs, and in what the configurations of runs differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from seqrl_cli.console import amount, with_error
from seqrl_cli.reports.html.page import HtmlTable
from seqrl_cli.runs.record import RunRecord

_MISSING = "–"


def results_table(rows: Sequence[Mapping[str, Any]]) -> HtmlTable:
    """Results and references, as ``seqrl table --json`` prints them."""
    columns = (
        "dataset",
        "method",
        "seeds",
        "episodes",
        "return",
        "95 % interval",
        "score",
        "95 % interval",
        "IQM",
        "steps",
    )
    shown = [
        (
            row["dataset"],
            row["method"],
            _count(row["runs"]),
            _count(row["episodes"]),
            _with_error(row, "return"),
            _interval(row, "return"),
            _with_error(row, "score"),
            _interval(row, "score"),
            _number(row["score_iqm"] if row["score_iqm"] is not None else row["return_iqm"]),
            _count(row["steps"]),
        )
        for row in rows
        if row["kind"] in ("result", "reference")
    ]
    used = [index for index in range(len(columns)) if index < 2 or any(row[index] != _MISSING for row in shown)]
    kept = [[row[index] for index in used] for row in shown]
    return HtmlTable([columns[index] for index in used], kept, frozenset(range(2, len(used))))


def runs_table(runs: Sequence[tuple[str, RunRecord, Mapping[str, Any]]]) -> HtmlTable:
    """Names, records and last logged numbers of runs."""
    columns = (
        "run",
        "architecture",
        "status",
        "seed",
        "parameters",
        "updates",
        "loss",
        "validation loss",
        "environment",
    )
    shown = [
        (
            name,
            record.arch,
            record.status,
            str(record.seed),
            f"{record.parameters:,}",
            _count(last.get("step")),
            _number(last.get("loss"), 3),
            _number(last.get("validation_loss"), 3),
            record.env_id or _MISSING,
        )
        for name, record, last in runs
    ]
    return HtmlTable(columns, shown, frozenset((3, 4, 5, 6, 7)))


def differences_table(configs: Mapping[str, Mapping[str, Any]]) -> HtmlTable | None:
    """The keys in which configurations differ, a column per run; None if there are none, or one run.

    Args:
        configs: plain values by section and key, by the name of the run.
    """
    flat = {name: _flat(config) for name, config in configs.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    differing = [key for key in keys if len({values.get(key, _MISSING) for values in flat.values()}) > 1]
    if len(flat) < 2 or not differing:
        return None
    rows = [[key, *(values.get(key, _MISSING) for values in flat.values())] for key in differing]
    return HtmlTable(("key", *flat), rows)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return found


def _number(value: float | None, digits: int = 1) -> str:
    return _MISSING if value is None else amount(value, digits)


def _count(value: float | None) -> str:
    return _MISSING if value is None else f"{value:,.0f}"


def _with_error(row: Mapping[str, Any], name: str) -> str:
    mean = row[f"mean_{name}"]
    return _MISSING if mean is None else with_error(mean, row[f"{name}_standard_error"])


def _interval(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return _MISSING if low is None else f"[{_number(low)}, {_number(high)}]"
