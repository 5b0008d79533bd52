"""Tiny trainings of every architecture, for one process or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from seqrl_cli.data.policy_windows import PolicyBatch, PolicyWindows
from seqrl_cli.data.task_data import TaskMixture
from seqrl_cli.data.task_sampler import WindowBatch
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.tracking.sinks import JsonlSink
from seqrl_cli.training.loop import FitOutcome, fit
from seqrl_cli.training.policy_trainer import PolicyTrainer
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.task_trainer import TaskTrainer
from seqrl_cli.training.token_trainer import TokenTrainer
from seqrl_cli.training.world import ALONE, World
from tests.models.policies import make_trajectories
from tests.training.fixtures import (
    ACTION_DIM,
    BINS,
    OBSERVATION_DIM,
    pattern_windows,
    policy_windows,
    tiny_gpt,
    tiny_policy,
    tiny_policy_settings,
    tiny_settings,
    tiny_task,
)

ARCHITECTURES = ("gpt", "retnet", "dt", "odt", "bc", "mddt")
UPDATES = 12


@dataclass(frozen=True)
class Case:
    """The arguments of ``fit``."""

    model: nn.Module
    train: Any
    validation: Any
    settings: Any
    trainer: Callable[..., Any]

    def fit(self, folder: Path, world: World = ALONE, **callbacks: Any) -> FitOutcome:
        """Train; the leader writes checkpoints and metrics into the folder."""
        files: dict[str, Any] = {}
        if world.leads:
            folder.mkdir(parents=True, exist_ok=True)
            files = {"checkpoints": folder / "checkpoints", "sinks": [JsonlSink(folder / "metrics.jsonl")]}
        parts = (self.model, self.train, self.validation, self.settings)
        return fit(*parts, trainer=self.trainer, world=world, **files, **callbacks)


class DoubleWindows(PolicyWindows):
    """Windows for a policy in float64, which would not read float32."""

    def batch(self, indices: ArrayLike) -> PolicyBatch:
        batch = super().batch(indices)
        return replace(batch, returns_to_go=batch.returns_to_go.astype(np.float64))


class DoubleTaskTrainer(TaskTrainer):
    """A trainer that reads windows in float64."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        read = self.sampler.read
        self.sampler.read = lambda starts: [self._double(batch) for batch in read(starts)]  # type: ignore[method-assign]

    @staticmethod
    def _double(batch: WindowBatch) -> WindowBatch:
        arrays = ("observations", "returns_to_go", "actions", "rewards")
        return replace(batch, **{name: getattr(batch, name).astype(np.float64) for name in arrays})


def make_case(name: str) -> Case:
    """A training of 12 updates of 24 windows, of which those at the end of an epoch have fewer.

    Args:
        name: an architecture; after ``calm-`` without dropout, which depends on the number of processes; after
            ``exact-`` also in float64, so that only the order of sums depends on it; after ``one-`` with batches of
            one window, so that all processes but one have none.
    """
    form, _, arch = name.rpartition("-")
    case = _token_case(arch, UPDATES) if arch in ("gpt", "retnet") else _other_case(arch, UPDATES)
    case = replace(case, settings=replace(case.settings, batch_size=24))
    if form:
        for module in case.model.modules():
            for attribute in ("p", "attention_dropout"):
                if isinstance(getattr(module, attribute, None), float):
                    setattr(module, attribute, 0.0)
    if form == "exact":
        return _in_float64(case)
    if form == "one":
        return replace(case, settings=replace(case.settings, batch_size=1))
    if form == "fast":
        return replace(case, settings=replace(case.settings, precision="bf16", compile=True))
    return case


def _in_float64(case: Case) -> Case:
    case = replace(case, model=case.model.double())
    if isinstance(case.train, PolicyWindows):
        case = replace(case, train=DoubleWindows(case.train.trajectories, case.train.context), validation=None)
    is_task = case.trainer is TaskTrainer
    return replace(case, validation=None, trainer=DoubleTaskTrainer) if is_task else case


def _token_case(arch: str, updates: int) -> Case:
    sizes = {"n_layer": 2, "n_head": 2, "width": 16, "generator": torch.Generator().manual_seed(0)}
    retnet = RetNet(bins=BINS, observation_dim=OBSERVATION_DIM, action_dim=ACTION_DIM, **sizes)
    model = tiny_gpt() if arch == "gpt" else retnet
    return Case(model, pattern_windows(5, 19), pattern_windows(2, 9), tiny_settings(updates), TokenTrainer)


def _other_case(arch: str, updates: int) -> Case:
    if arch == "mddt":
        return _task_case(updates)
    train = PolicyWindows(make_trajectories(11), policy_windows().context)
    return Case(tiny_policy(arch), train, policy_windows(seed=1), tiny_policy_settings(updates), PolicyTrainer)


def _task_case(updates: int) -> Case:
    """Two domains, two draws per update, and everything that can be predicted."""
    parts = ("states", "returns")
    sizes = {"n_layer": 2, "n_head": 2, "width": 16, "bins": 8, "context": 3, "max_timestep": 10, "choices": 0}
    model = MultiDomainTransformer(
        inputs={name: Input((3,), (name,), (0.0, 0.01)) for name in ("A-v0", "B-v0")},
        predicts=parts,
        embedding_dropout=0.1,
        **sizes,
        generator=torch.Generator().manual_seed(0),
    )
    settings = TaskTrainSettings(
        updates,
        0,
        RateSchedule("cosine", 2, updates),
        accumulate=2,
        weights={"actions": 1.0, "states": 0.5, "returns": 0.25},
        log_every=3,
        checkpoint_every=5,
        mean_weight=0.1,
        learning_rate=3e-4,
    )
    tasks = TaskMixture([tiny_task("A-v0", 1), tiny_task("B-v0", 3)])
    return Case(model, tasks, TaskMixture([tiny_task("A-v0", 1, seed=1)]), settings, TaskTrainer)
