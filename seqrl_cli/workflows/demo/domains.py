"""``seqrl demo domains``: one model for tasks of two simulators, from nothing to a table and a video."""

from __future__ import annotations

import time

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, duration
from seqrl_cli.errors import SeqrlError
from seqrl_cli.workflows.data import download
from seqrl_cli.workflows.data.download import DownloadRequest
from seqrl_cli.workflows.demo.setup import PLAN_SEED, DemoRequest
from seqrl_cli.workflows.demo.steps import DemoReport, timed_step, train_model
from seqrl_cli.workflows.plan import run as plan
from seqrl_cli.workflows.plan.run import PlanRequest
from seqrl_cli.workflows.report import render, table
from seqrl_cli.workflows.report.render import RenderRequest
from seqrl_cli.workflows.report.table import TableRequest
from seqrl_cli.workflows.train.run import TrainRequest

NAME = "domains"
"""What stands in a dataset's place on the command line."""

SUITE = "mt8+dmc4"
_EXTRAS = ("metaworld", "dmc")
_UPDATES = 2000
_EPISODES = 3  # per task
_DRAWN = "metaworld/d*,metaworld/window-open-v3,dmc/*"  # without a graphics card, a task takes seven seconds
_STEPS = 5


def run(request: DemoRequest, console: Console) -> DemoReport:
    """Make the data of a suite, train, plan, tabulate and draw a grid; finished steps are skipped.

    Raises:
        SeqrlError: a package is missing, or a step failed; the same command resumes there.
    """
    start = time.perf_counter()
    store, force = request.store, request.force
    suite, config = _configure(request)
    with timed_step(console, 1, _STEPS, "data"):
        data = download.run(DownloadRequest(suite, config, force=force), console)
    with timed_step(console, 2, _STEPS, "model"):
        training = TrainRequest(suite, config, threads=request.threads, force=force, argv=request.argv)
        trained = train_model(training, f"seqrl demo {NAME}", console)
    with timed_step(console, 3, _STEPS, "episodes"):
        planning = PlanRequest(store, trained.run, seed=PLAN_SEED, threads=request.threads, force=force)
        planned = plan.run(planning, console)
    with timed_step(console, 4, _STEPS, "video"):
        video = render.run(RenderRequest(store, trained.run, tasks=_DRAWN, grid=True, force=force), console)
    with timed_step(console, 5, _STEPS, "table"):
        report = table.run(TableRequest(store, [training.run.path], by="task"), console)
    seconds = time.perf_counter() - start
    console.note(f"the demo took {duration(seconds)}; to list what it made: seqrl runs")
    return DemoReport(data, trained, planned, report, video.path, seconds)


def dry_run(request: DemoRequest, console: Console) -> None:
    """Print what the demo would do.

    Raises:
        SeqrlError: a package is missing.
    """
    suite, config = _configure(request)
    training = TrainRequest(suite, config).run
    facts = {
        "datasets": suite.target,
        "run": str(training.path),
        "updates": config.train.updates,
        "episodes per task": config.plan.episodes,
        "videos": str(training.videos),
        "estimated time": "four minutes at most on two cores",
    }
    console.emit(facts)
    console.show_facts(facts)


def _configure(request: DemoRequest) -> tuple[DatasetRef, Config]:
    """The demo's suite and configuration.

    Raises:
        SeqrlError: a simulator is not installed.
    """
    for extra in _EXTRAS:
        if not is_installed(extra):
            message = f"the demo plays tasks of the extra {extra}, which is not installed"
            raise SeqrlError(message, install_line("domains"))
    settings = {
        "seed": request.seed,
        "model.arch": "mddt",
        "train.updates": _UPDATES,
        "plan.episodes": _EPISODES,
        "plan.envs": _EPISODES,
    }
    return dataset_config(request.store, SUITE, size="laptop", overrides=settings)
