"""The slow, plain form of training in several processes: one process computes the shards of a batch one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from seqrl_cli.data.shards import Shards
from seqrl_cli.training.world import Alone, Measures, Pass, add, backpropagated, normal_draws, shard_seed


class MicroBatches(Alone):
    """A world of one process and several shards, each with the seed of its dropout.

    Args:
        count: shards of a batch.
    """

    def __init__(self, count: int) -> None:
        self.shards = Shards(count, tuple(range(count)))

    def seed(self, seed: int, step: int, number: int) -> None:
        torch.manual_seed(shard_seed(seed, step, number))

    def normal(self, seed: int, step: int, shape: Sequence[int]) -> Tensor | None:
        return normal_draws(seed, step, shape)

    def prepare(self, model: nn.Module, *, uses_all: bool) -> None:
        self.parameters = [one for one in model.parameters() if one.requires_grad]

    def accumulate(self, passes: Callable[[int], Sequence[Pass]], names: Sequence[str]) -> Measures:
        totals: Measures = {}
        sums: list[Tensor | None] = [None] * len(self.parameters)
        for shard in self.shards.own:
            own: Measures = {}
            for one in passes(shard):
                add(own, backpropagated(one()))
            add(totals, own)
            for place, parameter in enumerate(self.parameters):
                before, gradient = sums[place], parameter.grad
                sums[place] = gradient if before is None else before if gradient is None else before + gradient
                parameter.grad = None
        for parameter, gradient in zip(self.parameters, sums, strict=True):
            parameter.grad = gradient
        return totals
