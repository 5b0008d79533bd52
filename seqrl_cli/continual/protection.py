"""What a learner measures of a task once it is learned, to protect it or to recognize it later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.continual.anchors import fisher_information
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.data.task_sampler import SamplingRules, TaskSampler
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer, TaskWindows
from seqrl_cli.training.task_losses import model_windows

MAX_ROWS = 4000
"""States per task that statistics are fitted to."""


def draw_windows(
    model: MultiDomainTransformer, task: TaskData, count: int, rng: np.random.Generator
) -> tuple[str, TaskWindows, Tensor]:
    """Windows of one task: the input's name, the windows, and which steps are real (windows, time)."""
    sampler = TaskSampler([task], model.context, SamplingRules(), rng)
    ((_, batches),) = sampler.next_batches(count)
    batch = batches[0]
    device = model.head.weight.device
    observations, real = torch.from_numpy(batch.observations).to(device), torch.from_numpy(batch.mask).to(device)
    return batch.group[0], model_windows(model, batch, observations, model.context), real


@torch.no_grad()
def state_features(model: MultiDomainTransformer, task: TaskData, rng: np.random.Generator) -> Tensor:
    """What the frozen encoder makes of a task's states, (rows, width) on the CPU; of all episodes and times alike."""
    count = task.transitions
    rows = np.sort(rng.choice(count, min(MAX_ROWS, count), replace=False))
    observations = torch.from_numpy(np.ascontiguousarray(task.states(rows))).to(model.head.weight.device)
    bodies = model.body_numbers(task.facts.input, [task.facts.body]).expand(len(rows))
    parts = zip(observations.split(512), bodies.split(512), strict=True)
    encoder = model.encoders[task.facts.input]
    return torch.cat([encoder(part, own).cpu() for part, own in parts])


@torch.no_grad()
def action_features(model: MultiDomainTransformer, task: TaskData, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The features that predict a task's actions, with the adapter in use, and the ids that they should predict.

    Returns:
        Features (rows, K, width) and ids (rows, K) of the last real step of each window, on the CPU.
    """
    name, windows, real = draw_windows(model, task, min(MAX_ROWS, task.transitions), rng)
    last = real.sum(dim=1) - 1
    rows = torch.arange(len(last), device=last.device)
    with keeping_features(model) as kept:
        model(name, windows)
    return kept[0][rows, last].cpu(), windows.actions[rows, last].cpu()


@contextmanager
def keeping_features(model: MultiDomainTransformer) -> Iterator[list[Tensor]]:
    """Keep what the action head reads in each pass of the block, (batch, time, K, width) per pass."""
    kept: list[Tensor] = []
    hook = model.norm.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        yield kept
    finally:
        hook.remove()


def importance(
    model: MultiDomainTransformer,
    task: TaskData,
    parameters: Mapping[str, nn.Parameter],
    count: int,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """The Fisher information of a task's windows, by parameter."""
    model.eval()
    name, windows, real = draw_windows(model, task, count, rng)

    def losses() -> Iterator[Callable[[], Tensor]]:
        for row in range(count):
            one = TaskWindows(**{key: value[row : row + 1] for key, value in vars(windows).items()})
            yield partial(_loss, model, name, one, real[row : row + 1], task.facts.choices)

    return fisher_information(parameters, losses())


def _loss(model: MultiDomainTransformer, name: str, windows: TaskWindows, real: Tensor, choices: int | None) -> Tensor:
    """The summed negative log likelihood of the windows' actions."""
    allowed = model.tokens.allowed(choices)
    logits = model(name, windows)[..., allowed][real]
    targets = windows.actions[real] - (allowed.start or 0)
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="sum")
