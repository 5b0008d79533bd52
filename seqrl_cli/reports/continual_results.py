"""Finished continual runs, grouped over seeds, for tables and figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.config.value_text import short_text
from seqrl_cli.continual.methods import METHODS, settled
from seqrl_cli.continual.metrics import ContinualScores, area_under, relative_transfer
from seqrl_cli.continual.run_files import (
    ContinualRecord,
    Evaluation,
    StageFolder,
    find_runs,
    read_evaluation,
    short_names,
)
from seqrl_cli.continual.run_scores import mean_of_known, scores_of
from seqrl_cli.envs.limits import known_step_limit
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import read_evaluation_lines


@dataclass(frozen=True)
class ContinualResult:
    """One finished run.

    Attributes:
        name: name of the run's folder.
        record: what learned what.
        evaluations: evaluations before learning and after each stage.
        scores: scores by success at any step.
        scores_at_end: scores by success at the last step.
        areas: areas under the curve of each task while it was learned; None if none were played then.
        transfer: Continual World's forward transfer; None without such curves, or without those of the method
            ``single`` on the same tasks with the same settings.
    """

    name: str
    record: ContinualRecord
    evaluations: tuple[Evaluation, ...]
    scores: ContinualScores
    scores_at_end: ContinualScores
    areas: tuple[float, ...] | None = None
    transfer: float | None = None

    @property
    def task_names(self) -> list[str]:
        """Short names of the tasks, in order."""
        return short_names([task.dataset for task in self.record.tasks])

    @property
    def reports_success(self) -> bool:
        """Whether all tasks report success; returns stand in otherwise."""
        return all(score.success is not None for score in self.evaluations[0].tasks)

    def inference(self, over: str) -> float | None:
        """Accuracy of task inference after the last task: ``inferred``, or the same over first or last steps."""
        return mean_of_known([getattr(score, over) for score in self.evaluations[-1].tasks])


@dataclass(frozen=True)
class ContinualGroup:
    """Runs that differ only in their seed.

    Attributes:
        label: the method, with the settings by which it differs from others of the same method.
        results: one per seed.
    """

    label: str
    results: tuple[ContinualResult, ...]

    @property
    def cut_after(self) -> int | None:
        """The ``continual.max_steps`` that ended episodes before an environment's own limit; None if none was cut."""
        record = self.results[0].record
        limit = record.settings.max_steps
        usual = [known_step_limit(task.env_id) for task in record.tasks]
        return None if limit is None or all(own is not None and own <= limit for own in usual) else limit

    @property
    def title(self) -> str:
        """The label, with a remark where the episodes were cut."""
        return cut_title(self.label, self.cut_after)


def cut_title(label: str, cut_after: int | None) -> str:
    """``l2m, cut after 20 steps``, as tables and figures call a method; the label alone for whole episodes."""
    return label if cut_after is None else f"{label}, cut after {cut_after:,} steps"


def read_continual(folder: Path) -> tuple[list[ContinualResult], list[str]]:
    """All finished runs below a folder, and a sentence for each other one."""
    found, left_out = [], []
    runs, damaged = find_runs(RunStore(folder))
    for run, record in runs:
        stages = run.stages(record)
        if not all(stage.evaluation.exists() for stage in stages):
            left_out.append(f"left out: {run.path} has not learned all of its tasks yet")
            continue
        evaluations = tuple(read_evaluation(stage) for stage in stages)
        scores = [scores_of(evaluations, at_end=at_end) for at_end in (False, True)]
        areas = _areas(stages, evaluations, record)
        found.append(ContinualResult(run.path.name, record, evaluations, scores[0], scores[1], areas))
    left_out += [f"left out: {error.message}" for error in damaged]
    return [_with_transfer(one, found) for one in found], left_out


def names_of(results: Sequence[ContinualResult]) -> str:
    """The runs as words of a command, each once."""
    return " ".join(dict.fromkeys(f"{one.record.suite}/{one.name}" for one in results))


def _areas(
    stages: Sequence[StageFolder], evaluations: Sequence[Evaluation], record: ContinualRecord
) -> tuple[float, ...] | None:
    """The areas under the curves of a run's tasks, each from the evaluation before it was learned."""
    if record.settings.eval_every is None or len(stages) <= len(record.tasks):
        return None
    areas = []
    for task, stage in enumerate(stages[1:]):
        before = evaluations[task].tasks[task].success
        lines = read_evaluation_lines(stage.metrics)
        played = [(float(line.step), line.values.get("evaluation_success")) for line in lines]
        points = [(0.0, before), *played]
        if len(points) < 2 or not all(isinstance(success, float) for _, success in points):
            return None
        areas.append(area_under([(step, float(success or 0.0)) for step, success in points]))
    return tuple(areas)


def _with_transfer(result: ContinualResult, results: Sequence[ContinualResult]) -> ContinualResult:
    """The result with its forward transfer, if there is a reference."""
    own = (_learning(result), result.record.settings.seed)
    references = [
        one
        for one in results
        if METHODS[one.record.settings.method].restarts and (_learning(one), one.record.settings.seed) == own
    ]
    if result.areas is None or not references or references[-1].areas is None:
        return result
    return replace(result, transfer=relative_transfer(result.areas, references[-1].areas))


def _learning(result: ContinualResult) -> tuple[object, ...]:
    """What a run and its reference must have in common."""
    record, settings = result.record, result.record.settings
    sizes = (settings.updates, settings.batch_size, settings.eval_every, settings.episodes, settings.max_steps)
    return (record.suite, record.base_sha256, *sizes)


@dataclass(frozen=True)
class _GroupKey:
    """What the runs of a group have in common.

    Attributes:
        method: see :data:`~seqrl_cli.continual.methods.METHODS`.
        suite: the name of the tasks.
        base: path of the pretrained run.
        base_sha256: hash of its weights, because a run of the same name may have been trained again.
        settings: all but the seed and the method, by key.
    """

    method: str
    suite: str
    base: str
    base_sha256: str
    settings: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, record: ContinualRecord) -> _GroupKey:
        """The key of a run."""
        settings = record.settings.model_dump(exclude={"seed", "method"})
        if METHODS[record.settings.method].choice not in ("inferred", "keys"):
            settings["none_of_these"] = None  # has no effect
        return cls(record.settings.method, record.suite, record.base, record.base_sha256, tuple(settings.items()))


def group_continual(results: Sequence[ContinualResult]) -> list[ContinualGroup]:
    """Groups in the order of :data:`~seqrl_cli.continual.methods.METHODS`; of runs with one seed, the newest counts."""
    groups: dict[_GroupKey, dict[int, ContinualResult]] = defaultdict(dict)
    for result in results:
        groups[_GroupKey.of(result.record)][result.record.settings.seed] = result
    places = {name: place for place, name in enumerate(METHODS)}
    keys = sorted(groups, key=lambda key: places.get(key.method, len(places)))
    return [ContinualGroup(_label(key, keys), tuple(groups[key][seed] for seed in sorted(groups[key]))) for key in keys]


def _label(own: _GroupKey, keys: Sequence[_GroupKey]) -> str:
    """The method, and what sets it apart from other groups of the method, or of all where suite and base differ.

    A setting is named where groups differ in it, and this one's is not the default. A limit of steps is a remark.
    """
    weights = {key.base_sha256 for key in keys if key.base == own.base}
    parts = [f"of {own.suite}"] if len({key.suite for key in keys}) > 1 else []
    parts += [f"from {own.base}"] if len({(key.base, key.base_sha256) for key in keys}) > 1 else []
    parts += [f"({own.base_sha256[:8]})"] if len(weights) > 1 else []
    usual = settled(ContinualConfig(method=own.method), METHODS[own.method]).model_dump()
    others = [dict(key.settings) for key in keys if key.method == own.method]
    for name, value in own.settings:
        if name != "max_steps" and value != usual[name] and len({str(other[name]) for other in others}) > 1:
            parts.append(f"{name}={short_text(value)}")
    return " ".join([own.method, *parts])
