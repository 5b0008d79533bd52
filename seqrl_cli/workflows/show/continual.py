"""What ``seqrl runs`` prints of a run that learned tasks one after the other."""

from __future__ import annotations

from typing import Any

from seqrl_cli.console import Console, amount, counted
from seqrl_cli.continual.run_files import (
    ContinualFolder,
    ContinualRecord,
    Evaluation,
    read_evaluation,
    read_record,
    run_status,
    success_matrix,
)
from seqrl_cli.files.yaml_text import dump_yaml
from seqrl_cli.runs.store import RunStore


def show_continual(store: RunStore, folder: ContinualFolder, console: Console, *, full: bool) -> None:
    """Print one run: its main facts, or all of its record.

    Raises:
        SeqrlError: continual.json or an evaluation is damaged.
    """
    record = read_record(folder)
    stages = [stage for stage in folder.stages(record) if stage.evaluation.exists()]
    status = run_status(folder, record)
    shown = {**record.model_dump(mode="json"), "status": status.word, **status.heard}
    console.emit({"run": shown, "stages": [read_evaluation(stage).model_dump(mode="json") for stage in stages]})
    name = store.name_of(folder.path)
    console.show(f"{name}  ({folder.path})")
    if full:
        console.show(dump_yaml({**record.model_dump(mode="json"), "status": status.text}).rstrip())
        return
    console.show_facts({"status": status.text, **_main_facts(folder, record)})
    console.show(f"success on each task: seqrl table {name} --by task; all else: seqrl runs show {name} --full")


def _main_facts(folder: ContinualFolder, record: ContinualRecord) -> dict[str, Any]:
    """What one wants to know of a run, in a dozen lines."""
    stages = folder.stages(record)
    evaluations = [read_evaluation(stage) for stage in stages if stage.evaluation.exists()]
    return {
        "method": f"{record.settings.method}, seed {record.settings.seed}",
        "base": record.base,
        "suite": f"{record.suite}, {len(record.tasks)} tasks",
        "stages": f"{len(evaluations)} of {len(stages)}",
        "played last": _played(evaluations[-1]) if evaluations else None,
        "learning per task": f"{record.trainable:,} of {record.parameters:,} numbers",
        "trained on": f"{record.device or '–'} with {counted(record.threads, 'thread')}, {record.host or '–'}",
        "program": f"seqrl {record.versions.get('seqrl')}",
        "created": record.created[:16].replace("T", " "),
        "updated": record.updated[:16].replace("T", " "),
    }


def _played(evaluation: Evaluation) -> str:
    """``success 0.62 on average, hammer 0.50, push-wall 0.75``."""
    unit = "success" if all(score.success is not None for score in evaluation.tasks) else "success or return"
    values = success_matrix([evaluation])[0]
    each = [
        f"{task.dataset.rpartition('/')[2]} {_value(one)}" for task, one in zip(evaluation.tasks, values, strict=True)
    ]
    return ", ".join([f"{unit} {_value(values.mean())} on average", *each])


def _value(value: float) -> str:
    return f"{value:.2f}" if 0.0 <= value <= 1.0 else amount(value)
