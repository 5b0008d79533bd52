"""``seqrl runs``: print the runs, or one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.console import Console, amount, counted
from seqrl_cli.continual.run_files import ContinualFolder, ContinualRecord, find_runs
from seqrl_cli.continual.run_files import run_status as continual_status
from seqrl_cli.errors import SeqrlError, UsageError, unknown
from seqrl_cli.files.yaml_text import dump_yaml, read_yaml_mapping
from seqrl_cli.planning.episode_files import plan_folders
from seqrl_cli.runs.layout import DatasetFolder, RunFolder
from seqrl_cli.runs.name_pattern import matches
from seqrl_cli.runs.record import RunRecord, TaskRecord, read_record
from seqrl_cli.runs.status import STATUSES, RunStatus, run_status
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import (
    OnlineLine,
    TrainingLine,
    last_validation_loss,
    lowest_validation_loss,
    read_online_lines,
    read_training_lines,
    validation_losses,
)
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.workflows.show.continual import show_continual

SORTS = ("updated", "name", "updates", "loss", "status")


@dataclass(frozen=True)
class RunFilter:
    """Which runs ``seqrl runs list`` prints, and in which order.

    Attributes:
        pattern: pattern with ``*`` and ``?``, else a part of the name; None = all.
        status: only runs of this status.
        arch: only runs of this architecture.
        sort: one of ``SORTS``.
    """

    pattern: str | None = None
    status: str | None = None
    arch: str | None = None
    sort: str = "updated"

    def matches(self, row: dict[str, Any]) -> bool:
        """Whether a run is printed."""
        fits = matches(row["run"], self.pattern)
        return fits and self.status in (None, row["status"]) and self.arch in (None, row.get("arch"))

    def ordered(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows that match, by the chosen column; unknown values come last."""
        key = {"name": "run", "loss": "held_out_loss"}.get(self.sort, self.sort)
        chosen = [row for row in rows if self.matches(row)]
        if self.sort == "updated":
            return chosen  # as the store orders them
        return sorted(chosen, key=lambda row: (row[key] is None, row[key] if row[key] is not None else 0))


def show_runs(store: RunStore, console: Console, wanted: RunFilter | None = None) -> None:
    """List datasets and runs, the newest run last, with a warning for each damaged run.

    Raises:
        UsageError: an unknown order, status or architecture, or no run matches.
    """
    wanted = wanted or RunFilter()
    if wanted.sort not in SORTS:
        raise unknown("order", wanted.sort, SORTS)
    if wanted.status not in (None, *STATUSES):
        raise unknown("status", str(wanted.status), STATUSES)
    if wanted.arch not in (None, *ARCHITECTURES):
        raise unknown("architecture", str(wanted.arch), ARCHITECTURES)
    runs, unreadable = store.read_runs()
    folders = store.dataset_folders()
    everything = [_row_or_gap(store, folder, record, console) for folder, record in runs]
    rows = wanted.ordered(everything)
    continual, damaged = find_runs(store)
    learned = [row for row in (_continual_row(store, *one) for one in continual) if wanted.matches(row)]
    console.emit({"datasets": [store.name_of(f.path) for f in folders], "runs": rows, "continual": learned})
    for error in [*(error for _, error in unreadable), *damaged]:
        console.warn(error.message)
    if not runs and not folders and not learned:
        console.show(f"nothing in {store.root} yet; start with: seqrl demo")
        return
    if wanted != RunFilter(sort=wanted.sort):
        if not rows and not learned:
            raise UsageError("no run matches", f"{counted(len(everything), 'run')} without these filters: seqrl runs")
    elif folders:
        cells = [[store.name_of(f.path), "yes" if f.tokens.exists() else "no", _size(f)] for f in folders]
        console.show_rows(["dataset", "tokens", "MB"], cells)
    if rows:
        tasks = ["tasks"] if any(row["tasks"] for row in rows) else []
        header = ["run", *tasks, "status", "updates", "held-out loss", "plans", "updated"]
        console.show_list(header, [_for_a_person(row) for row in rows])
    if learned:
        header = [key for key in learned[0] if key not in _WHERE]
        console.show_list(header, [_for_a_person(row) for row in learned])


def show_run(store: RunStore, spec: str | None, console: Console, *, full: bool = True) -> None:
    """Print one run: its main facts, or all of record, configuration, last metrics and plans.

    An unreadable configuration is shown as null.

    Raises:
        SeqrlError: there is no such run, or its run.json is damaged.
    """
    if spec is not None and (continual := store.find_continual(spec)):
        show_continual(store, ContinualFolder(continual), console, full=full)
        return
    folder = store.find(spec, console.warn)
    record = read_record(folder.record)
    status = run_status(folder, record)
    record = record.model_copy(update={"status": status.word})
    config = _config_as_written(folder, console)
    metrics = [line.as_dict() for line in _log(folder, record)]
    plans = [path.name for path in plan_folders(folder)]
    last = metrics[-1] if metrics else None
    console.emit({"run": record.model_dump() | status.heard, "config": config, "last_metrics": last, "plans": plans})
    name = store.name_of(folder.path)
    console.show(f"{name}  ({folder.path})")
    if full:
        shown = {
            "run": {**_shown_record(record), "status": status.text},
            "last metrics": last,
            "plans": plans,
            "config": config,
        }
        console.show(dump_yaml(shown).rstrip())
        return
    console.show_facts(_main_facts(store, folder, record, plans) | {"status": status.text})
    console.show(f"configuration and all else: seqrl runs show {name} --full")


def _main_facts(store: RunStore, folder: RunFolder, record: RunRecord, plans: Sequence[str]) -> dict[str, Any]:
    """What one wants to know of a run, in a dozen lines."""
    row = _run_row(store, folder, record, _log(folder, record))
    source = record.git.get("revision")
    from_ = record.parent or (record.base.run if record.base else None)
    return {
        "status": record.status,
        "architecture": f"{record.arch}, {record.parameters:,} parameters",
        "dataset": record.dataset,
        "environment": record.env_id or _environments(record),
        **({"fine-tuned from": from_} if from_ else {}),
        "seed": record.seed,
        "updates": row["updates"],
        "held-out loss": _held_out_text(folder),
        "plans": ", ".join(plans) or "none yet",
        "trained on": f"{record.device} with {counted(record.threads, 'thread')}, {record.host}",
        "program": f"seqrl {record.versions.get('seqrl')}, " + (f"revision {source[:10]}" if source else "installed"),
        "created": record.created[:16].replace("T", " "),
        "updated": record.updated[:16].replace("T", " "),
    }


def _environments(record: RunRecord) -> str:
    """What a run without an environment of its own is played in."""
    return counted(len(record.tasks), "task") if record.tasks else "none: its dataset names none"


def _held_out_text(folder: RunFolder) -> str:
    """``5.62 at update 600, the lowest; 6.1 at last``."""
    losses = validation_losses(folder.metrics)
    if not losses:
        return "–"
    (step, lowest), (end, last) = lowest_validation_loss(folder.metrics) or losses[-1], losses[-1]
    text = f"{lowest:.4g} at update {step:,}"
    return text if step == end else f"{text}, the lowest; {last:.4g} at last"


def _row_or_gap(store: RunStore, folder: RunFolder, record: RunRecord, console: Console) -> dict[str, Any]:
    """The run's row; one whose log cannot be read has gaps there, and a warning."""
    try:
        return _run_row(store, folder, record, _log(folder, record))
    except SeqrlError as error:
        console.warn(error.message)
        return _run_row(store, folder, record, ())


def _run_row(
    store: RunStore, folder: RunFolder, record: RunRecord, lines: Sequence[TrainingLine] | Sequence[OnlineLine]
) -> dict[str, Any]:
    held_out = last_validation_loss(lines)
    steps = [line.step for line in lines[-1:]] + saved_steps(folder.checkpoints)[-1:]
    return {
        "run": store.name_of(folder.path),
        "dataset": record.dataset,
        "arch": record.arch,
        "tasks": len(record.tasks) or None,
        "status": (status := run_status(folder, record)).word,
        **status.heard,
        "updates": max(steps, default=None),
        "held_out_loss": round(held_out, 4) if held_out is not None and math.isfinite(held_out) else None,
        "plans": len(plan_folders(folder)),
        "updated": record.updated[:16].replace("T", " "),
    }


_WHERE = ("running_on", "silent_seconds")


def _for_a_person(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its status in words."""
    loss = {"held-out loss": row["held_out_loss"]} if "held_out_loss" in row else {}
    return {**row, **loss, "status": RunStatus(row["status"], row["running_on"], row["silent_seconds"]).text}


def _continual_row(store: RunStore, folder: ContinualFolder, record: ContinualRecord) -> dict[str, Any]:
    """A run as a row of the list."""
    stages = folder.stages(record)
    return {
        "run": store.name_of(folder.path),
        "base": record.base,
        "method": record.settings.method,
        "tasks": len(record.tasks),
        "status": (status := continual_status(folder, record)).word,
        **status.heard,
        "stages": f"{sum(stage.evaluation.exists() for stage in stages)} of {len(stages)}",
        "updated": record.updated[:16].replace("T", " "),
    }


def _shown_record(record: RunRecord) -> dict[str, Any]:
    """The record for a person: a line per task in place of all of its facts."""
    values = record.model_dump()
    if record.tasks:
        values["tasks"] = {task.env_id: _task_line(task) for task in record.tasks}
    return values


def _task_line(task: TaskRecord) -> str:
    """What a run knows of a task, in a few words."""
    acts = f"{task.choices} choices" if task.choices is not None else counted(task.action_dim, "number")
    mean = "" if task.mean_return is None else f", mean {amount(task.mean_return)}"
    returns = f"{amount(task.worst_return)} to {amount(task.best_return)}{mean}"
    return f"{'×'.join(map(str, task.shape))} in, {acts} out; returns in the data {returns}"


def _size(folder: DatasetFolder) -> float:
    """Megabytes of a dataset and its tokens."""
    files = (folder.dataset, folder.tokens)
    return round(sum(path.stat().st_size for path in files if path.exists()) / 1e6, 1)


def _log(folder: RunFolder, record: RunRecord) -> Sequence[TrainingLine] | Sequence[OnlineLine]:
    """The lines that the run has logged; a fine-tuned run logs iterations."""
    return read_online_lines(folder.metrics) if record.parent else read_training_lines(folder.metrics)


def _config_as_written(folder: RunFolder, console: Console) -> dict[str, Any] | None:
    """The run's config.yaml, which another version of seqrl may have written."""
    try:
        return read_yaml_mapping(folder.config)
    except SeqrlError as error:
        console.warn(error.message)
        return None
