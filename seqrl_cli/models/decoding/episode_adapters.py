"""Which episodes of a batch use which adapters, as a decoder asks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

PREFIXES = "adapter_prefixes"
"""Name of the module of a model that has its prompts or prefixes."""

Members = tuple[int, ...]
"""Numbers of the members of a pool that an episode uses; empty for no adapter. Only prompts may be several."""

KeysValues = list[tuple[Tensor, Tensor]]
"""Keys and values (..., heads, tokens, head_dim) of each block."""


@runtime_checkable
class PrefixPool(Protocol):
    """A pool of keys and values that all tokens see."""

    def selected_member(self) -> int | None:
        """The member that is in use for every sample; None for none."""

    def keys_values(self, members: Members) -> KeysValues:
        """Keys and values of some members, one after the other, without gradients."""


class EpisodeAdapters:
    """What a decoder's layers look up: the adapters of the episodes that are decoded now.

    Args:
        model: the model, adapted or not.
    """

    def __init__(self, model: nn.Module) -> None:
        self._default: Members = ()
        self._runs: list[tuple[int, int, int]] = []
        self._episodes = 0
        pool = getattr(model, PREFIXES, None)
        self._pool = pool if isinstance(pool, PrefixPool) else None
        self._known: dict[Members, KeysValues] = {}
        if self._pool:
            self.set_default(self._pool.selected_member())

    def set_default(self, member: int | None) -> None:
        """Set what episodes use that name nothing."""
        self._default = () if member is None else (member,)

    def members(self, named: int | Members | None) -> Members:
        """The members that an episode uses, given what it names: -1 for no adapter, None for the default."""
        if named is None:
            return self._default
        if isinstance(named, int):
            return () if named < 0 else (named,)
        return named

    def use(self, members: Sequence[Members]) -> None:
        """Say which members each episode of the next passes uses; equal ones must be neighbours."""
        self._episodes = len(members)
        self._runs = []
        start = 0
        for one, run in groupby(members):
            end = start + len(list(run))
            if one and not self._pool:
                assert len(one) == 1, "only prompts and prefixes of several members go together"
                self._runs.append((one[0], start, end))
            start = end

    def rows(self, count: int) -> list[tuple[int, slice]]:
        """The members in use and their rows, of ``count`` rows that belong to the episodes in equal shares."""
        each = count // self._episodes if self._episodes else 0
        return [(member, slice(start * each, end * each)) for member, start, end in self._runs]

    def prefixed(self, members: Members) -> bool:
        """Whether such an episode's tokens see keys and values that are not its own."""
        return self._pool is not None and bool(members)

    def prefix(self, members: Members) -> KeysValues:
        """Keys and values (heads, tokens, head_dim) that an episode's tokens see; empty if there are none."""
        if self._pool is None or not members:
            return []
        if members not in self._known:
            self._known[members] = self._pool.keys_values(members)
        return self._known[members]

    def prefixes(self, members: Sequence[Members]) -> KeysValues:
        """The same (episodes, heads, tokens, head_dim) of several episodes that all have some, or all have none."""
        found = [self.prefix(one) for one in members]
        if not found[0]:
            return []
        return [
            (torch.stack([key for key, _ in block]), torch.stack([value for _, value in block]))
            for block in zip(*found, strict=True)
        ]
