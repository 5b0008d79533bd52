"""``seqrl info`` of a task, a domain or a suite: what it is, and which of its datasets are here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrl_cli.config.extras import install_line, installed_version, is_installed
from seqrl_cli.console import Console, counted
from seqrl_cli.data.catalogue import named_datasets
from seqrl_cli.data.domains import Domain, Task, domains, task_of
from seqrl_cli.data.suites import Suite, expand, has_suite, suites
from seqrl_cli.errors import unknown
from seqrl_cli.runs.store import RunStore

_SUCCESS_SCALE = "none: successes are counted"


def show_named(store: RunStore, name: str, console: Console) -> bool:
    """Print what a task's environment, a domain or a suite is; returns whether the name is one of these.

    Raises:
        UsageError: the name is below that of a domain, which has no such task, and nothing else is called so.
    """
    domain = domains().get(name.partition("/")[0])
    if (task := task_of(name)) is not None:
        _show_task(store, task, console)
    elif name in domains():
        _show_domain(store, domains()[name], console)
    elif name in suites():
        _show_suite(store, suites()[name], console)
    elif (joined := _joined_suites(store, name)) is not None:
        _show_suite(store, joined, console)
    elif domain is not None and not store.dataset(name).path.exists() and not Path(name).exists():
        raise unknown("task", name, [each.env_id for each in domain.tasks.values()], f"seqrl info {domain.name}")
    else:
        return False
    return True


def _show_task(store: RunStore, task: Task, console: Console) -> None:
    domain = domains()[task.domain]
    dataset = f"sim/{task.domain}/{task.name}"
    facts: dict[str, Any] = {
        "environment": task.env_id,
        "domain": task.domain,
        "observation": _shape(task),
        "action": counted(task.action_dim or 0, "number") if task.choices is None else f"{task.choices} choices",
        "steps per episode": task.episode_steps,
        "scores": domain.scale or _SUCCESS_SCALE,
        "return of a random policy": task.random_return,
        "return that scores 0": None if task.references is None else task.references[0],
        "return that scores 100": None if task.references is None else task.references[1],
        "target return of a paper": task.paper_target,
        "dataset": dataset,
        "dataset here": store.dataset(dataset).dataset.exists(),
        "suites": [suite.name for suite in suites().values() if dataset in suite.datasets],
    }
    console.emit({**facts, "package": installed_version(domain.extra)})
    facts["return that scores 100"] = _hundred(domain, task)
    known = {key: value for key, value in facts.items() if value is not None}
    console.show_facts({**known, "suites": ", ".join(facts["suites"]) or "none"})
    _note_missing_extras([domain.extra], console)


def _shape(task: Task) -> str:
    size = "×".join(map(str, task.shape))
    return f"{size} numbers" if len(task.shape) == 1 else f"{size} image of uint8"


def _hundred(domain: Domain, task: Task) -> str | None:
    """The return that scores 100: the data's own mean where that counts, else the stated one."""
    stated = None if task.references is None else f"{task.references[1]:g}"
    if not domain.scaled_by_data:
        return stated
    own = "the mean of the run's data"
    return f"{own}; {stated} in the published data" if stated else own


def _show_domain(store: RunStore, domain: Domain, console: Console) -> None:
    specs = [named_datasets()[f"sim/{domain.name}/{task}"] for task in domain.tasks]
    here = [spec.id for spec in specs if store.dataset(spec.id).dataset.exists()]
    facts = {
        "domain": domain.name,
        "tasks": len(domain.tasks),
        "scores": domain.scale or _SUCCESS_SCALE,
        "package": installed_version(domain.extra),
        "datasets here": len(here),
    }
    rows = [
        [task.env_id, spec.id, _yes(spec.id in here)] for task, spec in zip(domain.tasks.values(), specs, strict=True)
    ]
    console.emit({**facts, "environments": [row[0] for row in rows], "datasets": [row[1] for row in rows]})
    console.show_facts({**facts, "package": facts["package"] or "not installed"})
    console.show_rows(["environment", "dataset", "here"], rows)
    _note_missing_extras([domain.extra], console)


def _show_suite(store: RunStore, suite: Suite, console: Console) -> None:
    specs = [named_datasets()[name] for name in suite.datasets]
    here = {spec.id for spec in specs if store.dataset(spec.id).dataset.exists()}
    kinds = Counter(spec.id.split("/")[1] if spec.id.count("/") > 1 else spec.source for spec in specs)
    facts = {
        "suite": suite.name,
        "about": suite.about,
        "datasets": len(specs),
        "domains": {name: count for name, count in kinds.items()},
        "repeats": suite.repeats,
        "datasets here": len(here),
    }
    console.emit({**facts, "names": [spec.id for spec in specs], "here": sorted(here)})
    shown = ", ".join(f"{counted(count, 'task')} of {name}" for name, count in kinds.items())
    console.show_facts({**facts, "domains": shown, "repeats": suite.repeats if suite.repeats > 1 else "none"})
    rows = [[spec.id, spec.env_id or "", _yes(spec.id in here)] for spec in specs]
    console.show_rows(["dataset", "environment", "here"], rows)
    if len(here) < len(specs):
        missing = counted(len(specs) - len(here), "dataset")
        console.note(f"{missing} not here yet: seqrl download {suite.name}")
    _note_missing_extras([spec.extra for spec in specs if spec.extra], console)


def _joined_suites(store: RunStore, name: str) -> Suite | None:
    """Suites and known datasets joined by ``+`` of which some are not here yet; None for everything else."""
    names = name.split("+")
    datasets = expand(names)
    missing = [each for each in datasets if not store.dataset(each).dataset.exists()]
    if not has_suite(names) or not missing or not set(datasets) <= set(named_datasets()):
        return None
    return Suite(name, "suites and datasets joined", tuple(datasets))


def _yes(here: bool) -> str:
    return "yes" if here else ""


def _note_missing_extras(extras: Sequence[str], console: Console) -> None:
    """Print how to install each extra that is missing."""
    for extra in dict.fromkeys(extras):
        if not is_installed(extra):
            console.note(f"playing needs the extra {extra}, which is not installed: {install_line(extra)}")
