"""Task inference: which task, or which part of the pretraining, a state belongs to.

The features are the frozen encoder's outputs, so they do not depend on adapters, on the time, or on the target return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.continual.statistics import Densities, TaskStatistics


@dataclass(frozen=True)
class Known:
    """A task that can be inferred.

    Attributes:
        input: name of the model's encoder that reads it; tasks of other encoders are impossible.
        member: the adapter that acts in it; ``NONE`` for a task of the pretraining.
        statistics: statistics of its features.
    """

    input: str
    member: int
    statistics: TaskStatistics


class TaskInference:
    """Log probabilities of the known tasks, given a state's features.

    Args:
        known: the known tasks, at least one.
        head: a head from :func:`train_head`; None to use the densities themselves.
    """

    def __init__(self, known: Sequence[Known], head: nn.Linear | None = None) -> None:
        self.known = known
        self.head = head
        self._densities = Densities([one.statistics for one in known])
        names = {one.input for one in known}
        self._bias = {name: torch.tensor([0.0 if one.input == name else -torch.inf for one in known]) for name in names}
        self._unknown = torch.full((len(known),), -torch.inf)

    def evidence(self, name: str, features: Tensor) -> Tensor:
        """Log probabilities (known,) of one state's features (features,), up to a constant; -inf for other inputs."""
        row = features.detach().cpu()
        if self.head is not None:
            scores = self.head(row.float()).double().log_softmax(dim=0).detach()
        else:
            scores = self._densities.at(row)
        return scores + self._bias.get(name, self._unknown)

    def member(self, index: int) -> int:
        """The adapter of a known task."""
        return self.known[index].member


def train_head(known: Sequence[Known], generator: torch.Generator, updates: int = 1000, batch: int = 256) -> nn.Linear:
    """A linear head that tells the known tasks apart, trained on samples of all their statistics alike.

    This is the first stage of HiDe: since samples of every task so far are drawn anew in each update, the latest task
    is not favoured.

    Args:
        known: the known tasks, at least one; features of all have one size.
        generator: source of the weights and samples.
        updates: optimizer steps.
        batch: samples per update.
    """
    size = len(known[0].statistics.mean)
    head = nn.Linear(size, len(known))
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.0)
    each = max(1, batch // len(known))
    targets = torch.arange(len(known)).repeat_interleave(each)
    for _ in range(updates):
        samples = torch.cat([one.statistics.sample(each, generator) for one in known]).float()
        loss = functional.cross_entropy(head(samples), targets)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return head.requires_grad_(False)
