"""``seqrl demo``: simulate data, discretize, train, plan, render and tabulate."""

from __future__ import annotations

import time
from dataclasses import dataclass

from seqrl_cli.console import Console, duration
from seqrl_cli.errors import RunConflictError
from seqrl_cli.workflows.data import discretize, download
from seqrl_cli.workflows.data.discretize import DiscretizeRequest
from seqrl_cli.workflows.data.download import DatasetReport, DownloadRequest
from seqrl_cli.workflows.demo.dry_run import dry_run as dry_run
from seqrl_cli.workflows.demo.setup import PLAN_SEED, DemoRequest, configure
from seqrl_cli.workflows.demo.steps import timed_step
from seqrl_cli.workflows.plan import run as plan
from seqrl_cli.workflows.plan.run import PlanReport, PlanRequest
from seqrl_cli.workflows.report import render, table
from seqrl_cli.workflows.report.render import RenderRequest
from seqrl_cli.workflows.report.table import TableReport, TableRequest
from seqrl_cli.workflows.train import run as train
from seqrl_cli.workflows.train.run import TrainReport, TrainRequest


@dataclass(frozen=True)
class DemoReport:
    """Results of the steps, the video's path, and the total time in seconds."""

    dataset: DatasetReport
    train: TrainReport
    plan: PlanReport
    table: TableReport
    video: str
    seconds: float

    def text(self) -> str:
        """One line for a person."""
        return f"video: {self.video}"


def run(request: DemoRequest, console: Console) -> DemoReport:
    """Simulate, discretize, train, plan, render and tabulate; finished steps are skipped.

    Raises:
        UsageError: the dataset is not simulated.
        SeqrlError: a step failed; the same command resumes there.
    """
    start = time.perf_counter()
    store = request.store
    force = request.force
    dataset, config = configure(request)
    with timed_step(console, 1, 5, "data"):
        data = download.run(DownloadRequest(dataset, config, force=force), console)
    with timed_step(console, 2, 5, "tokens"):
        discretize.run(DiscretizeRequest(dataset, config, force=force), console)
    with timed_step(console, 3, 5, "model"):
        training = TrainRequest(dataset, config, threads=request.threads, force=force, argv=request.argv)
        trained = _train(training, console)
    with timed_step(console, 4, 5, "plans"):
        planning = PlanRequest(store, trained.run, seed=PLAN_SEED, threads=request.threads, force=force)
        planned = plan.run(planning, console)
    with timed_step(console, 5, 5, "video"):
        video = render.run(RenderRequest(store, planned.folder, force=force), console)
    report = table.run(TableRequest(store, [training.run.path]), console)
    seconds = time.perf_counter() - start
    console.note(f"the demo took {duration(seconds)}; to list what it made: seqrl runs")
    return DemoReport(data, trained, planned, report, video.path, seconds)


def _train(request: TrainRequest, console: Console) -> TrainReport:
    """Train the demo's model; if a run with other settings exists, the hint names the demo's own options."""
    try:
        return train.run(request, console)
    except RunConflictError as error:
        hint = "seqrl demo --runs-dir FOLDER uses another folder, seqrl demo --force starts over in this one"
        raise RunConflictError(error.message, hint) from error
