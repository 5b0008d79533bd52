"""Evaluations during ``seqrl train``: the model plays episodes as ``seqrl plan`` would let it play."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from seqrl_cli.artifacts.train_job import TrainJob
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.envs.trust import accepted
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.task_choice import chosen_tasks
from seqrl_cli.tracking.metrics import Values, read_evaluation_lines
from seqrl_cli.training.evaluation import Evaluation
from seqrl_cli.workflows.train.beside import Beside
from seqrl_cli.workflows.train.player import Setup


@contextmanager
def evaluations(
    folder: RunFolder, config: Config, job: TrainJob, store: RunStore, console: Console, threads: int
) -> Iterator[Evaluation | None]:
    """The evaluations of a run that has its record, in a process beside this one; None if it wants none.

    Args:
        folder: the run's folder.
        config: the run's complete configuration.
        job: the run's model and data.
        store: the run directory that holds the run's dataset.
        console: receives warnings.
        threads: CPU threads of training; the process has half as many, since both compute at the same time.
    """
    every = config.train.eval_every
    if every is None:
        yield None
        return
    record, shared = read_record(folder.record), max(1, threads // 2)
    setup = Setup(folder, record, config, store, job.model, _without_data(job), accepted(), shared)
    with closing(Beside(setup, console.warn)) as beside:
        yield Evaluation(
            every, beside.begin, lambda step: _logged(folder, step) is not None, lambda step: _logged(folder, step)
        )


def check_evaluations(config: Config, job: TrainJob) -> None:
    """Raise UsageError if ``train.eval_tasks`` names tasks that a run does not have."""
    if config.train.eval_every is not None and job.tasks:
        chosen_tasks(job.tasks, config.train.eval_tasks)


def _without_data(job: TrainJob) -> TokenizedDataset | None:
    """How the tokens of a job's data are read, without the tokens; None if it has none."""
    data = job.data
    if not isinstance(data, TokenizedDataset):
        return None
    return replace(
        data, tokens=data.tokens[:0].copy(), offsets=data.offsets[:1].copy(), returns=data.returns[:0].copy()
    )


def _logged(folder: RunFolder, step: int) -> Values | None:
    """The numbers of the evaluation after so many updates; None if it has not been logged."""
    return next((line.values for line in read_evaluation_lines(folder.metrics) if line.step == step), None)
