"""Set-up of the demo: its options, dataset and configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import UsageError
from seqrl_cli.runs.store import RunStore

PLAN_SEED = 0
"""Seed of the environments and of sampling."""

_SEARCH = {"plan.horizon": 5, "plan.elites": 1}
"""The search of the paper: a plan of several steps has a future to draw, and one plan is executed as it is drawn."""


@dataclass(frozen=True)
class DemoRequest:
    """Options of ``seqrl demo``.

    Attributes:
        store: the run directory.
        dataset: a simulated dataset.
        seed: seed of the data and of training.
        threads: CPU threads; None = all cores.
        force: start over at each step.
        argv: the command line, for the run's record.
    """

    store: RunStore
    dataset: str = "sim/hopper-medium"
    seed: int = 42
    threads: int | None = None
    force: bool = False
    argv: Sequence[str] = ()


def configure(request: DemoRequest) -> tuple[DatasetRef, Config]:
    """The demo's dataset and configuration.

    Raises:
        UsageError: the dataset is not simulated.
    """
    name = request.dataset
    dataset, config = dataset_config(request.store, name, size="laptop", overrides={"seed": request.seed, **_SEARCH})
    if dataset.spec.source != "sim":
        hint = f"for the same steps on it: seqrl train {name} --size laptop; seqrl plan; seqrl render; seqrl table"
        raise UsageError(f"the demo simulates its data, and {name} is not a simulated dataset", hint)
    return dataset, config
