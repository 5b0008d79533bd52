"""What the rows of a RetNet's decoder remember: memories of constant size, shared until the rows diverge.

A row's memory is a base, which several rows share after an ``expand``, and the few keys and values since. When rows are
chosen anew the few are folded into the base; a row that shares its base with no other puts each token straight into it.
So a step reads a base once for all rows that share it, and copies none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class EpisodeState:
    """The recurrent state of one episode.

    Attributes:
        layers: per layer (heads, key_dim, value_dim), as the next token sees it.
        past: tokens consumed.
    """

    layers: tuple[Tensor, ...]
    past: int


@dataclass
class RetNetState:
    """Rows of a RetNet decoder.

    Attributes:
        groups: episodes.
        rows: sequences, the same number in each group.
        dim: the dimension of the next token.
        past: (groups,) int64, the frame: tokens before its place; (1,) when they are equally many in all groups.
        bases: per layer (bases, heads, key_dim, value_dim), what equally many consecutive rows each share.
        columns: a layer's keys and values since, each (rows, heads, dim).
        passed: tokens consumed since the frame's place, those that are not remembered included.
        tokens: (rows, time) int64, the tokens in a sliding window; None when the window does not slide.
        kept: the rows that go on, when some were selected since the last step.
        copies: how many rows each of them becomes.
    """

    groups: int
    rows: int
    dim: int
    past: Tensor
    bases: list[Tensor]
    columns: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)
    passed: int = 0
    tokens: Tensor | None = None
    kept: Tensor | None = None
    copies: int = 1

    def expand(self, copies: int) -> RetNetState:
        """Make each row ``copies`` rows."""
        self.copies *= copies
        return self

    def select(self, index: Tensor) -> RetNetState:
        """Keep rows ``index`` (groups, kept) of each group."""
        rows = self.chosen().repeat_interleave(self.copies).view(self.groups, -1)
        self.kept, self.copies = rows.gather(1, index).flatten(), 1
        return self

    def chosen(self) -> Tensor:
        """The rows that go on, not yet copied."""
        return torch.arange(self.rows, device=self.past.device) if self.kept is None else self.kept

    def start(self, bases: list[Tensor], rows: int) -> None:
        """Go on from bases that hold all of the past of so many rows."""
        self.bases, self.columns, self.rows = bases, [[] for _ in bases], rows
        self.kept, self.copies = None, 1

    def update_state(self, number: int, key: Tensor, value: Tensor) -> None:
        """Add the newest token's (rows, heads, dim) to a layer's memory."""
        if len(self.bases[number]) == self.rows:
            add_outer(self.bases[number], key, value)
        else:
            self.columns[number].append((key, value))

    def read(self, number: int, query: Tensor) -> Tensor:
        """What queries (rows, heads, key_dim) find in a layer's memory, (rows, heads, value_dim)."""
        base = self.bases[number]
        grouped = query.unflatten(0, (len(base), -1)).transpose(1, 2).flatten(0, 1)
        found = torch.bmm(grouped, base.flatten(0, 1)).unflatten(0, base.shape[:2]).transpose(1, 2).flatten(0, 1)
        for key, value in self.columns[number]:
            found = torch.addcmul(found, (query * key).sum(dim=2, keepdim=True), value)
        return found

    def fold(self) -> None:
        """Go on with the rows that were chosen, each with a base that holds all of its past, shared by its copies."""
        bases, rows_per_base = self.bases, self.rows // len(self.bases[0])
        if self.kept is not None or self.columns[0]:
            kept = self.chosen()
            bases = [base.index_select(0, kept // rows_per_base) for base in bases]
            for base, columns in zip(bases, self.columns, strict=True):
                for key, value in columns:
                    add_outer(base, key[kept], value[kept])
            self.rows = len(kept)
        self.start(bases, self.rows * self.copies)


def add_outer(memory: Tensor, key: Tensor, value: Tensor) -> None:
    """Add keys (rows, heads, key_dim) and values (rows, heads, value_dim) to memories of their own, in place."""
    memory.addcmul_(key[..., None], value[..., None, :])
