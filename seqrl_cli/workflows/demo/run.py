"""``seqrl demo``: simulate data, discretize, train, plan, render and tabulate."""

from __future__ import annotations

import time

from seqrl_cli.console import Console, duration
from seqrl_cli.workflows.data import discretize, download
from seqrl_cli.workflows.data.discretize import DiscretizeRequest
from seqrl_cli.workflows.data.download import DownloadRequest
from seqrl_cli.workflows.demo.dry_run import dry_run as dry_run
from seqrl_cli.workflows.demo.setup import PLAN_SEED, DemoRequest, configure
from seqrl_cli.workflows.demo.steps import DemoReport, timed_step, train_model
from seqrl_cli.workflows.plan import run as plan
from seqrl_cli.workflows.plan.run import PlanRequest
from seqrl_cli.workflows.report import render, table
from seqrl_cli.workflows.report.render import RenderRequest
from seqrl_cli.workflows.report.table import TableRequest
from seqrl_cli.workflows.train.run import TrainRequest


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
        trained = train_model(training, "seqrl demo", console)
    with timed_step(console, 4, 5, "plans"):
        planning = PlanRequest(store, trained.run, seed=PLAN_SEED, threads=request.threads, force=force)
        planned = plan.run(planning, console)
    with timed_step(console, 5, 5, "video"):
        video = render.run(RenderRequest(store, planned.folder, force=force), console)
    report = table.run(TableRequest(store, [training.run.path]), console)
    seconds = time.perf_counter() - start
    console.note(f"the demo took {duration(seconds)}; to list what it made: seqrl runs")
    return DemoReport(data, trained, planned, report, video.path, seconds)
