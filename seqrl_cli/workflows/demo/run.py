"""The whole chain on a simulated dataset."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.errors import RunConflictError, UsageError
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.data.discretize import discretize
from seqrl_cli.workflows.data.download import acquire
from seqrl_cli.workflows.plan.run import plan_episodes
from seqrl_cli.workflows.plan.setup import PlanRequest
from seqrl_cli.workflows.report.render import RenderRequest, render_plan
from seqrl_cli.workflows.report.table import TableRequest, tabulate
from seqrl_cli.workflows.train.run import TrainReport, TrainRequest
from seqrl_cli.workflows.train.run import run as train_model

PLAN_SEED = 0  # of environments and samples


@dataclass(frozen=True)
class DemoReport:
    """What each step of the demo gave."""

    dataset: dict[str, Any]
    train: dict[str, Any]
    plan: dict[str, Any]
    table: dict[str, Any]
    video: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def run_demo(
    store: RunStore,
    dataset: str,
    console: Console,
    *,
    seed: int,
    threads: int | None = None,
    force: bool = False,
    argv: Sequence[str] = (),
) -> DemoReport:
    """Simulate, discretize, train, plan, render, tabulate; what is done already is not done twice.

    Args:
        store: where datasets and runs are.
        dataset: a simulated one.
        console: where to say what is done.
        seed: of the whole chain.
        threads: CPU threads; None = all cores.
        force: do all of it again.
        argv: the command line, for the run's record.

    Raises:
        UsageError: the dataset is not simulated here.
        SeqrlError: a step failed; the same command carries on from there.
    """
    start = time.perf_counter()
    located, config = configure(store, dataset, seed)
    with _chapter(console, 1, "data"):
        data = acquire(located, config.data, console, force=force)
    with _chapter(console, 2, "tokens"):
        discretize(located, config, console, force=force)
    with _chapter(console, 3, "model"):
        request = TrainRequest(located, config, threads=threads, force=force, argv=argv)
        trained = _train(request, console)
    with _chapter(console, 4, "plans"):
        run = str(request.run.path)
        planned = plan_episodes(store, PlanRequest(run, seed=PLAN_SEED, threads=threads), console, force=force)
    with _chapter(console, 5, "video"):
        video = render_plan(store, RenderRequest(planned.folder), console, force=force)
    report = tabulate(store, TableRequest([request.run.path]), console)
    seconds = time.perf_counter() - start
    console.show(f"video: {video.path}")
    console.note(f"the whole chain took {seconds:.0f} s; look around with: seqrl runs")
    return DemoReport(data.as_dict(), trained.as_dict(), planned.as_dict(), report.as_dict(), video.path, seconds)


def _train(request: TrainRequest, console: Console) -> TrainReport:
    """The demo's model; a run of other settings in its place is told with what the demo can do about it."""
    try:
        return train_model(request, console)
    except RunConflictError as error:
        hint = "seqrl demo --runs-dir FOLDER does it elsewhere, seqrl demo --force does all of it again here"
        raise RunConflictError(error.message, hint) from error


def configure(store: RunStore, dataset: str, seed: int) -> tuple[DatasetRef, Config]:
    """The demo's dataset and configuration.

    Raises:
        UsageError: the dataset is not simulated here.
    """
    located, config = dataset_config(store, dataset, size="laptop", overrides={"seed": seed})
    if located.spec.source != "sim":
        hint = f"for the same steps on it: seqrl train {dataset} --size laptop; seqrl plan; seqrl render; seqrl table"
        raise UsageError(f"the demo simulates its data, and {dataset} is not a simulated dataset", hint)
    return located, config


@contextmanager
def _chapter(console: Console, number: int, name: str) -> Iterator[None]:
    """Name a step and say how long it took."""
    console.note(f"[{number}/5] {name}")
    start = time.perf_counter()
    yield
    console.note(f"      {time.perf_counter() - start:.0f} s")
