"""``seqrl demo continual``: three methods learn three tasks one after the other, from a small model of eight others."""

from __future__ import annotations

import time
from dataclasses import dataclass

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, duration
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.continual import run as continual
from seqrl_cli.workflows.continual.run import ContinualReport, ContinualRequest
from seqrl_cli.workflows.data import download
from seqrl_cli.workflows.data.download import DatasetReport, DownloadRequest
from seqrl_cli.workflows.demo.setup import DemoRequest
from seqrl_cli.workflows.demo.steps import timed_step, train_model
from seqrl_cli.workflows.report import plot, table
from seqrl_cli.workflows.report.plot import PlotRequest
from seqrl_cli.workflows.report.table import TableReport, TableRequest
from seqrl_cli.workflows.train.run import TrainReport, TrainRequest

NAME = "continual"
"""What the user types for this demo instead of a dataset."""

PRETRAINING, TASKS = "mt8", "cw3"
METHODS = ("full", "l2m", "hide-lora")
BACKBONE_UPDATES, UPDATES, BATCH, EPISODES, RETENTION = 600, 200, 128, 4, 1


@dataclass(frozen=True)
class ContinualDemoReport:
    """Results of the steps by method, the heat map's path, and the total time in seconds."""

    datasets: tuple[DatasetReport, ...]
    train: TrainReport
    methods: dict[str, ContinualReport]
    table: TableReport
    heat_map: str
    seconds: float

    def text(self) -> str:
        """The success matrices for a person, and where the heat map is."""
        return "\n\n".join([*(report.text() for report in self.methods.values()), f"heat map: {self.heat_map}"])


def run(request: DemoRequest, console: Console) -> ContinualDemoReport:
    """Simulate, train a backbone, learn three tasks with each method, tabulate and draw; finished steps are skipped.

    Raises:
        SeqrlError: a step failed; the same command resumes there.
    """
    start = time.perf_counter()
    store, force = request.store, request.force
    with timed_step(console, 1, 4, "data"):
        datasets = tuple(
            download.run(DownloadRequest(*suite(store, name, request.seed), force), console)
            for name in (PRETRAINING, TASKS)
        )
    with timed_step(console, 2, 4, f"a backbone of {PRETRAINING}"):
        trained = train_model(backbone(request), f"seqrl demo {NAME}", console)
    reports = {}
    with timed_step(console, 3, 4, f"{TASKS} by {', '.join(METHODS)}"):
        for method in METHODS:
            reports[method] = continual.run(_learning(request, trained.run, method), console)
    with timed_step(console, 4, 4, "table and heat map"):
        folder = suite(store, TASKS, request.seed)[0].folder.path
        summary = table.run(TableRequest(store, [folder]), console)
        output = folder / "plots" / "demo.png"
        drawn = plot.run(PlotRequest(store, [str(folder)], ["matrix"], output=output, force=force), console)
    seconds = time.perf_counter() - start
    console.note(f"the demo took {duration(seconds)}; to list what it made: seqrl runs")
    return ContinualDemoReport(datasets, trained, reports, summary, drawn.path, seconds)


def suite(store: RunStore, name: str, seed: int) -> tuple[DatasetRef, Config]:
    """A suite and the configuration with which its data are made and a backbone is trained."""
    overrides = {"seed": seed, "model.arch": "mddt", "train.updates": BACKBONE_UPDATES}
    return dataset_config(store, name, size="laptop", overrides=overrides)


def backbone(request: DemoRequest) -> TrainRequest:
    """How the backbone is trained."""
    dataset, config = suite(request.store, PRETRAINING, request.seed)
    return TrainRequest(dataset, config, threads=request.threads, force=request.force, argv=request.argv)


def _learning(request: DemoRequest, run: str, method: str) -> ContinualRequest:
    sizes = {"updates": UPDATES, "batch_size": BATCH, "episodes": EPISODES, "retention_episodes": RETENTION}
    settings: dict[str, int | str] = {f"continual.{key}": value for key, value in sizes.items()}
    settings |= {"continual.method": method, "continual.seed": request.seed}
    return ContinualRequest(
        request.store, run, TASKS, settings, threads=request.threads, force=request.force, argv=request.argv
    )
