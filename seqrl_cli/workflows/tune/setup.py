"""The options of ``seqrl tune``, its trials as members of a sweep, and what they measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from seqrl_cli.config.grid import Grid, Point
from seqrl_cli.config.space import Dimension
from seqrl_cli.errors import UsageError, unknown
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import SweepMember
from seqrl_cli.tracking.metrics import read_evaluation_lines, validation_losses
from seqrl_cli.workflows.sweep.setup import Member, Resolver, SweepRequest
from seqrl_cli.workflows.sweep.states import state_of
from seqrl_cli.workflows.tune.study import PRUNERS

METRICS = ("score", "return", "validation_loss")


@dataclass(frozen=True)
class TuneRequest:
    """Options of ``seqrl tune``.

    Attributes:
        store: the run directory.
        sweep: what every trial trains and plans, with the fixed values, and where.
        space: what trials choose.
        trials: how many.
        metric: one of ``METRICS``.
        pruner: one of ``PRUNERS``.
        seed: seed of the choices.
    """

    store: RunStore
    sweep: SweepRequest
    space: tuple[Dimension, ...]
    trials: int = 40
    metric: str = "validation_loss"
    pruner: str = "none"
    seed: int = 0

    @property
    def grid(self) -> Grid:
        """What every trial trains and plans."""
        return self.sweep.grid

    @property
    def maximize(self) -> bool:
        """Whether a higher metric is better."""
        return self.metric != "validation_loss"


def check(request: TuneRequest) -> None:
    """Check what does not depend on a trial.

    Raises:
        UsageError: an unknown metric or pruner, nothing to choose, or nothing to prune by.
    """
    if request.metric not in METRICS:
        raise unknown("metric", request.metric, METRICS)
    if request.pruner not in PRUNERS:
        raise unknown("pruner", request.pruner, PRUNERS)
    if not request.space:
        raise UsageError("there is nothing to search", "for example train.learning_rate=log:1e-5..1e-2")
    for dimension in request.space:
        if dimension.key.startswith("data."):
            message = f"{dimension.key} cannot be searched: all trials read the same dataset.h5 and tokens.h5"
            raise UsageError(message, "search in run directories of its own (--runs-dir)")
        if dimension.key.startswith("plan.") and request.metric == "validation_loss":
            message = f"{dimension.key} does not change the validation loss"
            raise UsageError(message, "--metric score, or --metric return, plans with every trial")
    evaluates = {*request.grid.train, *(dimension.key for dimension in request.space)} & {"train.eval_every"}
    if request.pruner != "none" and request.maximize and not evaluates:
        message = f"--pruner {request.pruner} needs a {request.metric} during training"
        raise UsageError(message, "add train.eval_every=N, or use --metric validation_loss")


def trial_member(request: TuneRequest, resolver: Resolver, number: int, values: Mapping[str, str]) -> Member:
    """A trial as a member: the run ``NAME-003`` with the chosen values.

    Raises:
        UsageError: the values do not fit each other.
    """
    grid = request.grid
    training = {key: text for key, text in values.items() if not key.startswith("plan.")}
    texts = {**{key: own[0] for key, own in grid.train.items()}, **training}
    point = Point(grid.datasets[0], grid.archs[0] if grid.archs else None, texts, grid.seeds[0], ())
    planned = {key: (text,) for key, text in values.items() if key.startswith("plan.")}
    plan = None if request.metric == "validation_loss" else {**(grid.plan or {}), **planned}
    own = Resolver(replace(resolver.request, grid=replace(grid, plan=plan)), resolver.threads)
    return own.member(point, f"{request.sweep.sweep_name}-{number:03d}")


def measured(request: TuneRequest, member: SweepMember) -> float | None:
    """The metric of a trial that ended; None if it has none."""
    state = state_of(request.store, member)
    found = {"score": state.score, "return": state.mean_return, "validation_loss": state.validation_loss}
    return found[request.metric]


def so_far(request: TuneRequest, member: SweepMember) -> Sequence[tuple[int, float]]:
    """The metric of a running trial by update, from its log."""
    metrics = RunFolder(request.store.root / member.run).metrics
    if not metrics.exists():
        return []
    if request.metric == "validation_loss":
        return validation_losses(metrics)
    key = f"evaluation_{request.metric}"
    return [(line.step, value) for line in read_evaluation_lines(metrics) if (value := line.get(key)) is not None]
