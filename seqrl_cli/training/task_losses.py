"""Losses of a multi-domain model: of actions, of next states and of returns-to-go.

Learning actions is supervised pre-training, and learning states or returns self-supervised; both can be joined.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.data.task_sampler import WindowBatch
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer, TaskWindows
from seqrl_cli.models.encoders.image import ImageEncoder
from seqrl_cli.models.encoders.vector import VectorEncoder
from seqrl_cli.models.loss import precise
from seqrl_cli.training.augment import Augmentation, augment
from seqrl_cli.training.guide import Guide

Part: TypeAlias = Literal["actions", "states", "returns"]
"""What is predicted: action tokens, next states (as the encoder reads them), or returns-to-go (as bins)."""

Sums = dict[Part, tuple[Tensor, int]]
"""The summed loss of each part, and the number of predictions in it."""


@dataclass(frozen=True)
class TaskObjective:
    """What a model learns to predict.

    Attributes:
        weights: weights of the parts in the loss, for each part that counts. Each part is a mean over its predictions.
        label_smoothing: probability that the targets of actions give to all ids alike.
        augmentation: augmentation of images.
        mean_weight: weight of the squared error of continuous numbers, decoded as the mean over their bins, in the loss
            of actions. The cross-entropy alone spends much of what it learns on the noise of the data.
    """

    weights: dict[Part, float] = field(default_factory=lambda: {"actions": 1.0})
    label_smoothing: float = 0.0
    augmentation: Augmentation = "none"
    mean_weight: float = 0.0

    @property
    def steps_ahead(self) -> int:
        """Steps that windows need besides those that the model sees."""
        return 1 if "states" in self.weights else 0


def summed_losses(
    model: MultiDomainTransformer, batch: WindowBatch, objective: TaskObjective, guide: Guide | None = None
) -> Sums:
    """The losses of windows, each summed over its predictions.

    Args:
        model: the model, whose mode decides whether targets are smoothed and images augmented.
        batch: windows of the model's context and ``steps_ahead`` more.
        objective: what to predict.
        guide: told of the windows before the model sees them.
    """
    device = model.head.weight.device
    observations = torch.from_numpy(batch.observations).to(device)
    if model.training:
        observations = augment(observations, objective.augmentation)
    seen = batch.mask.shape[1] - objective.steps_ahead
    windows = model_windows(model, batch, observations, seen)
    real = torch.from_numpy(batch.mask[:, :seen]).to(device)
    if guide:
        guide.before_windows(batch.group[0], windows, model.training)
    hidden = model.hidden(batch.group[0], windows, whole="states" in objective.weights)
    sums: Sums = {}
    if "actions" in objective.weights:
        sums["actions"] = _action_loss(model, batch, hidden, windows, real, objective)
    if "states" in objective.weights:
        sums["states"] = _state_loss(model, batch, hidden, windows, observations[:, 1:])
    if "returns" in objective.weights:
        sums["returns"] = _return_loss(model, batch.group[0], hidden, windows, real)
    return sums


def model_windows(model: MultiDomainTransformer, batch: WindowBatch, observations: Tensor, seen: int) -> TaskWindows:
    """A batch as the model's inputs.

    Args:
        model: reads them.
        batch: windows of at least ``seen`` steps.
        observations: observations of the batch, on the model's device.
        seen: steps that the model sees, from the first.
    """

    def to_device(array: Any) -> Tensor:
        return torch.from_numpy(array[:, :seen]).to(observations.device)

    actions = to_device(batch.actions)
    is_choice = batch.group[2] is not None
    return TaskWindows(
        observations[:, :seen],
        to_device(batch.returns_to_go),
        actions.long() if is_choice else model.tokens.encode(actions),
        to_device(batch.rewards),
        to_device(batch.timesteps),
        model.body_numbers(batch.group[0], batch.bodies),
    )


def _action_loss(
    model: MultiDomainTransformer,
    batch: WindowBatch,
    hidden: Tensor,
    windows: TaskWindows,
    real: Tensor,
    objective: TaskObjective,
) -> tuple[Tensor, int]:
    """Cross-entropy in nats of the action tokens, among those that the tasks may use, and the error of their means."""
    allowed = model.tokens.allowed(batch.group[2])
    logits = model.action_logits(hidden)[..., allowed][real]
    targets = windows.actions[real] - (allowed.start or 0)
    smoothing = objective.label_smoothing if model.training else 0.0
    loss = functional.cross_entropy(
        precise(logits).flatten(0, -2), targets.flatten(), reduction="sum", label_smoothing=smoothing
    )
    if objective.mean_weight and model.training and batch.group[2] is None:
        means = (precise(logits).softmax(dim=-1) * model.tokens.centres(logits.device)).sum(dim=-1)
        wanted = torch.from_numpy(batch.actions[:, : real.shape[1]]).to(real.device)[real]
        loss = loss + objective.mean_weight * (means - wanted).square().sum()
    return loss, targets.numel()


def _state_loss(
    model: MultiDomainTransformer, batch: WindowBatch, hidden: Tensor, windows: TaskWindows, after: Tensor
) -> tuple[Tensor, int]:
    """The encoder's error of predicted next observations, except after the last step of an episode."""
    name = batch.group[0]
    encoder = model.encoders[name]
    assert isinstance(encoder, VectorEncoder | ImageEncoder)
    follows = batch.mask[:, 1:]
    errors = encoder.prediction_error(precise(model.next_states(name, hidden)), after, windows.bodies)
    return errors[torch.from_numpy(follows).to(errors.device)].sum(), int(follows.sum())


def _return_loss(
    model: MultiDomainTransformer, name: str, hidden: Tensor, windows: TaskWindows, real: Tensor
) -> tuple[Tensor, int]:
    """Cross-entropy in nats of the bins of returns-to-go."""
    head = model.require_return_head()
    targets = head.encode(name, windows.returns_to_go)[real]
    logits = precise(model.return_logits(hidden)[real])
    return functional.cross_entropy(logits, targets, reduction="sum"), targets.numel()
