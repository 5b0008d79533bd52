"""What the demos share: their steps, and what a run that differs means to who started a demo."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from seqrl_cli.console import Console
from seqrl_cli.errors import RunConflictError
from seqrl_cli.workflows.data.download import DatasetReport
from seqrl_cli.workflows.plan.run import PlanReport
from seqrl_cli.workflows.report.table import TableReport
from seqrl_cli.workflows.train import run as train
from seqrl_cli.workflows.train.run import TrainReport, TrainRequest


@dataclass(frozen=True)
class DemoReport:
    """Results of the steps of a demo that plays, the video's path, and the total time in seconds."""

    dataset: DatasetReport
    train: TrainReport
    plan: PlanReport
    table: TableReport
    video: str
    seconds: float

    def text(self) -> str:
        """One line for a person."""
        return f"video: {self.video}"


@contextmanager
def timed_step(console: Console, number: int, count: int, name: str) -> Iterator[None]:
    """Print a step's name, and how long it took."""
    console.note(f"[{number}/{count}] {name}")
    start = time.perf_counter()
    yield
    console.note(f"      {time.perf_counter() - start:.0f} s")


def train_model(request: TrainRequest, command: str, console: Console) -> TrainReport:
    """Train a demo's model.

    Args:
        request: what to train, and how.
        command: the demo's command, for the hint.
        console: see :class:`Console`.

    Raises:
        RunConflictError: a run with other settings is in its place; the hint names options of the demo.
        SeqrlError: the training failed.
    """
    try:
        return train.run(request, console)
    except RunConflictError as error:
        hint = f"{command} --runs-dir FOLDER uses another folder, {command} --force starts over in this one"
        raise RunConflictError(error.message, hint) from error
