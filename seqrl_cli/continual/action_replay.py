"""Statistics of the features that predict actions, from which the action head relearns all tasks (HiDe's TAP).

A class is a dimension of an action together with the id that it should get. Task-adaptive prediction trains the head on
features drawn from the classes of every task so far (Wang et al. 2023, arXiv 2310.07234, section 4.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FEWEST_ROWS = 10
"""Rows that a class needs; a variance of fewer would say little."""

_MIN_VARIANCE = 1e-4


@dataclass(frozen=True)
class ActionStatistics:
    """Means and variances of one task's features by class.

    Attributes:
        ids: (classes,) int64, what the head should predict.
        means: (classes, width).
        variances: (classes, width).
        counts: (classes,) int64, rows that they were measured on.
    """

    ids: Tensor
    means: Tensor
    variances: Tensor
    counts: Tensor

    @classmethod
    def of(cls, features: Tensor, ids: Tensor) -> ActionStatistics:
        """Measure features (rows, K, width) that should predict ids (rows, K)."""
        found = []
        for dimension in range(ids.shape[1]):
            own = ids[:, dimension]
            for value, count in zip(*own.unique(return_counts=True), strict=True):
                if count >= FEWEST_ROWS:
                    rows = features[own == value, dimension].float()
                    found.append((value, rows.mean(dim=0), rows.var(dim=0, correction=0), count))
        if not found:  # a class per row, as in data of few rows
            rows = features.flatten(0, 1).float()
            found = [
                (one, row, torch.zeros_like(row), one * 0 + 1) for one, row in zip(ids.flatten(), rows, strict=True)
            ]
        return cls(*(torch.stack(column) for column in zip(*found, strict=True)))

    def sample(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Features (rows, width) and their ids (rows,); classes are drawn by their counts."""
        chosen = torch.multinomial(self.counts.float(), rows, replacement=True, generator=generator)
        noise = torch.randn(rows, self.means.shape[1], generator=generator)
        spread = (self.variances[chosen] + _MIN_VARIANCE).sqrt()
        return self.means[chosen] + spread * noise, self.ids[chosen]

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name."""
        return dict(vars(self))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> ActionStatistics:
        """What :meth:`tensors` described."""
        return cls(**tensors)


def adapt_head(
    head: nn.Linear,
    tasks: Sequence[ActionStatistics],
    choices: Sequence[slice],
    generator: torch.Generator,
    updates: int = 300,
    batch: int = 256,
    learning_rate: float = 1e-3,
) -> None:
    """Train an action head on samples of all tasks alike.

    Args:
        head: changed in place; on any device.
        tasks: statistics of every task so far.
        choices: the ids that each task may use.
        generator: source of the samples, on the CPU.
        updates: optimizer steps.
        batch: samples per update.
        learning_rate: learning rate of AdamW at the beginning, with a cosine to 0.
    """
    head.requires_grad_(True)
    optimizer = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    each = max(1, batch // len(tasks))
    for _ in range(updates):
        losses = []
        for task, allowed in zip(tasks, choices, strict=True):
            features, ids = task.sample(each, generator)
            logits = head(features.to(head.weight))[:, allowed]
            losses.append(functional.cross_entropy(logits, ids.to(logits.device) - (allowed.start or 0)))
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(losses).mean())
        optimizer.step()
        schedule.step()
    head.requires_grad_(False)
