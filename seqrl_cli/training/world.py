"""The processes that train one model together: how they share an update, and what they tell each other.

Every process draws the same batches and computes the shards that are its own. A loss is a sum over the windows of a
shard, divided by a number of the whole batch, so the gradients of all shards add up to those of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from seqrl_cli.data.shards import WHOLE, Shards

T = TypeVar("T")

Measures = dict[str, Tensor]
"""Scalars by name; the one called ``loss`` has the gradients."""

Pass = Callable[[], Measures]
"""A forward pass over some windows of a shard."""


class World(Protocol):
    """The processes of a run; ``ALONE`` is one process, ``Ranks`` in ``distributed`` are several."""

    @property
    def shards(self) -> Shards:
        """The shards of a batch, and those that this process computes."""

    @property
    def size(self) -> int:
        """Number of processes."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the run."""

    def seed(self, seed: int, step: int, number: int) -> None:
        """Seed PyTorch's generators before a shard, if that is how the shards get their own dropout."""

    def normal(self, seed: int, step: int, shape: Sequence[int]) -> Tensor | None:
        """Draws for the windows of the whole batch, the same in each process; None to draw them where they are used."""

    def prepare(self, model: nn.Module, *, uses_all: bool) -> None:
        """Get ready for :meth:`accumulate` with this model.

        Args:
            model: the model whose gradients are summed over the processes.
            uses_all: whether each pass uses all parameters.
        """

    def accumulate(self, passes: Callable[[int], Sequence[Pass]], names: Sequence[str]) -> Measures:
        """Accumulate the gradients of a batch in the model's parameters.

        Args:
            passes: the forward passes of a shard, by its number; none for an empty shard.
            names: names of the measures.

        Returns:
            The sums of all measures over all passes of all shards, detached.
        """

    def any(self, flag: bool) -> bool:
        """Whether the flag is true in any process."""

    def from_leader(self, value: T) -> T:
        """The leader's value; those of the others are ignored."""

    def tensors_from_leader(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The leader's tensors on the CPU; None for the others."""


class Alone:
    """A world of one process, which draws from PyTorch's generators as it goes."""

    shards = WHOLE
    size = 1
    leads = True

    def seed(self, seed: int, step: int, number: int) -> None:
        """Do nothing: the generators continue."""

    def normal(self, seed: int, step: int, shape: Sequence[int]) -> Tensor | None:
        """None."""
        return None

    def prepare(self, model: nn.Module, *, uses_all: bool) -> None:
        """Do nothing."""

    def accumulate(self, passes: Callable[[int], Sequence[Pass]], names: Sequence[str]) -> Measures:
        """See :meth:`World.accumulate`."""
        totals: Measures = {}
        for one in passes(0):
            add(totals, backpropagated(one()))
        return totals

    def any(self, flag: bool) -> bool:
        """The flag."""
        return flag

    def from_leader(self, value: T) -> T:
        """The value."""
        return value

    def tensors_from_leader(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The tensors."""
        return dict(tensors or {})


ALONE: World = Alone()


def backpropagated(measures: Measures) -> Measures:
    """Accumulate the gradients of a pass, and return its measures without them."""
    torch.autograd.backward(measures["loss"])
    return {name: value.detach() for name, value in measures.items()}


def add(totals: Measures, measures: Mapping[str, Tensor]) -> None:
    """Add measures to their totals."""
    for name, value in measures.items():
        totals[name] = totals[name] + value if name in totals else value


def shard_seed(*numbers: int) -> int:
    """A seed from the run's seed, the update and the shard."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def normal_draws(seed: int, step: int, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers that depend on the seed and the update alone, float32 on the CPU."""
    generator = torch.Generator().manual_seed(shard_seed(seed, step))
    return torch.randn(*shape, generator=generator)


def own_draws(draws: Tensor | None, shards: Shards, number: int) -> Tensor | None:
    """The draws (samples, windows, ...) of one shard."""
    return None if draws is None else draws[:, number :: shards.count]


def world_text(world: World) -> str:
    """`` in 2 processes``, or nothing for one."""
    return f" in {world.size} processes" if world.size > 1 else ""
