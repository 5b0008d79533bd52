"""``seqrl runs``: print the runs, or one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seqrl_cli.config.presets import read_yaml
from seqrl_cli.console import Console, amount, counted
from seqrl_cli.continual.run_files import ContinualFolder, ContinualRecord, find_runs
from seqrl_cli.continual.run_files import run_status as continual_status
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.yaml_text import dump_yaml
from seqrl_cli.planning.episode_files import plan_folders
from seqrl_cli.runs.layout import DatasetFolder, RunFolder
from seqrl_cli.runs.record import RunRecord, TaskRecord, read_record
from seqrl_cli.runs.status import RunStatus, run_status
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import OnlineLine, TrainingLine, read_online_lines, read_training_lines


def show_runs(store: RunStore, console: Console) -> None:
    """List datasets and runs, the newest run last, with a warning for each damaged run."""
    runs, unreadable = store.read_runs()
    folders = store.dataset_folders()
    rows = [_run_row(store, folder, record) for folder, record in runs]
    continual, damaged = find_runs(store)
    learned = [_continual_row(store, folder, record) for folder, record in continual]
    console.emit({"datasets": [store.name_of(f.path) for f in folders], "runs": rows, "continual": learned})
    for error in [*(error for _, error in unreadable), *damaged]:
        console.warn(error.message)
    if not runs and not folders and not learned:
        console.show(f"nothing in {store.root} yet; start with: seqrl demo")
        return
    if folders:
        cells = [[store.name_of(f.path), "yes" if f.tokens.exists() else "no", _size(f)] for f in folders]
        console.show_rows(["dataset", "tokens", "MB"], cells)
    if rows:
        tasks = ["tasks"] if any(row["tasks"] for row in rows) else []
        header = ["run", *tasks, "status", "updates", "loss", "plans", "updated"]
        console.show_rows(header, [_cells(row, header) for row in rows])
    if learned:
        header = [key for key in learned[0] if key not in _WHERE]
        console.show_rows(header, [_cells(row, header) for row in learned])


def show_run(store: RunStore, spec: str | None, console: Console) -> None:
    """Print one run: record, configuration, last metrics and plans; an unreadable configuration is shown as null.

    Raises:
        SeqrlError: there is no such run, or its run.json is damaged.
    """
    folder = store.find(spec, console.warn)
    record = read_record(folder.record)
    status = run_status(folder, record)
    record = record.model_copy(update={"status": status.word})
    config = _config_as_written(folder, console)
    metrics = [line.as_dict() for line in _log(folder, record)]
    plans = [path.name for path in plan_folders(folder)]
    last = metrics[-1] if metrics else None
    console.emit({"run": record.model_dump() | _heard(status), "config": config, "last_metrics": last, "plans": plans})
    shown = {
        "run": {**_shown_record(record), "status": status.text},
        "last metrics": last,
        "plans": plans,
        "config": config,
    }
    console.show(f"{store.name_of(folder.path)}  ({folder.path})")
    console.show(dump_yaml(shown).rstrip())


def _run_row(store: RunStore, folder: RunFolder, record: RunRecord) -> dict[str, Any]:
    lines = _log(folder, record)
    held_out = [loss for line in lines if (loss := line.get("validation_loss")) is not None]
    losses = [nll for line in lines if (nll := line.get("nll")) is not None] if record.parent else held_out
    return {
        "run": store.name_of(folder.path),
        "dataset": record.dataset,
        "tasks": len(record.tasks) or None,
        "status": (status := run_status(folder, record)).word,
        **_heard(status),
        "updates": lines[-1].step if lines else None,
        "validation loss": round(held_out[-1], 4) if held_out else None,
        "loss": round(losses[-1], 4) if losses else None,
        "plans": len(plan_folders(folder)),
        "updated": record.updated[:16].replace("T", " "),
    }


_WHERE = ("running_on", "silent_seconds")


def _heard(status: RunStatus) -> dict[str, Any]:
    """Where a run is and since when it is silent, for programs."""
    silence = None if status.silence is None else round(status.silence)
    return dict(zip(_WHERE, (status.host, silence), strict=True))


def _cells(row: dict[str, Any], header: Sequence[str]) -> list[Any]:
    """A row for a person."""
    status = RunStatus(row["status"], row["running_on"], row["silent_seconds"])
    shown = {**row, "status": status.text}
    return ["–" if shown[key] is None else shown[key] for key in header]


def _continual_row(store: RunStore, folder: ContinualFolder, record: ContinualRecord) -> dict[str, Any]:
    stages = folder.stages(record)
    return {
        "run": store.name_of(folder.path),
        "base": record.base,
        "method": record.settings.method,
        "tasks": len(record.tasks),
        "status": (status := continual_status(folder, record)).word,
        **_heard(status),
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
        return read_yaml(folder.config)
    except SeqrlError as error:
        console.warn(error.message)
        return None
