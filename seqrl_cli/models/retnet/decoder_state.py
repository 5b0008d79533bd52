"""The rows of a RetNet's decoder and their recurrent states, which rows share until they diverge.

A row's recurrent state is a base state, which several rows share after an ``expand``, plus the few pending keys and
values since. When rows are reordered, the pending ones are folded into the base states. A row that does not share its
base state adds each token to it at once. So a step reads a base state once for all rows that share it, and copies none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class EpisodeState:
    """The recurrent state of one episode.

    Attributes:
        layers: the state of each layer, (heads, key_dim, value_dim), as the next token sees it.
        position: tokens consumed.
    """

    layers: tuple[Tensor, ...]
    position: int


@dataclass
class RetNetState:
    """Rows of a RetNet decoder.

    Attributes:
        groups: episodes.
        rows: sequences, the same number in each group.
        dim: the dimension of the next token.
        reference: (groups,) int64, the position that the base states refer to; (1,) if it is the same in all groups.
        bases: base states of each layer, (bases, heads, key_dim, value_dim), each for equally many consecutive rows.
        pending: keys and values of each layer not yet folded into the base states, each (rows, heads, dim).
        offset: tokens consumed since the reference position, including those that do not write to the state.
        tokens: (rows, time) int64, the tokens in a sliding window; None when the window does not slide.
        kept: the rows that continue, if some were selected since the last step.
        copies: number of rows that each of them becomes.
    """

    groups: int
    rows: int
    dim: int
    reference: Tensor
    bases: list[Tensor]
    pending: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)
    offset: int = 0
    tokens: Tensor | None = None
    kept: Tensor | None = None
    copies: int = 1

    def expand(self, copies: int) -> RetNetState:
        """Replace each row by ``copies`` rows."""
        self.copies *= copies
        return self

    def select(self, index: Tensor) -> RetNetState:
        """Keep rows ``index`` (groups, kept) of each group."""
        rows = self.kept_rows().repeat_interleave(self.copies).view(self.groups, -1)
        self.kept = rows.gather(1, index).flatten()
        self.copies = 1
        return self

    @property
    def is_reordered(self) -> bool:
        """Whether rows were selected or expanded since the last step."""
        return self.kept is not None or self.copies > 1

    def kept_rows(self) -> Tensor:
        """The rows that continue, not yet copied."""
        return torch.arange(self.rows, device=self.reference.device) if self.kept is None else self.kept

    def set_bases(self, bases: list[Tensor], rows: int) -> None:
        """Continue with ``rows`` rows from base states that contain their whole past."""
        self.bases = bases
        self.pending = [[] for _ in bases]
        self.rows = rows
        self.kept = None
        self.copies = 1

    def update_state(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Add the newest token's key and value (rows, heads, dim) to a layer's state."""
        if len(self.bases[layer]) == self.rows:
            add_outer(self.bases[layer], key, value)
        else:
            self.pending[layer].append((key, value))

    def read(self, layer: int, query: Tensor) -> Tensor:
        """The retention output (rows, heads, value_dim) of queries (rows, heads, key_dim) in a layer."""
        base = self.bases[layer]
        grouped = query.unflatten(0, (len(base), -1)).transpose(1, 2).flatten(0, 1)
        out = torch.bmm(grouped, base.flatten(0, 1)).unflatten(0, base.shape[:2]).transpose(1, 2).flatten(0, 1)
        for key, value in self.pending[layer]:
            out = torch.addcmul(out, (query * key).sum(dim=2, keepdim=True), value)
        return out

    def fold(self) -> None:
        """Apply the selection, and give each row a base state with its whole past, which its copies share."""
        bases = self.bases
        rows_per_base = self.rows // len(bases[0])
        if self.kept is not None or self.pending[0]:
            kept = self.kept_rows()
            bases = [base.index_select(0, kept // rows_per_base) for base in bases]
            for base, pending in zip(bases, self.pending, strict=True):
                for key, value in pending:
                    add_outer(base, key[kept], value[kept])
            self.rows = len(kept)
        self.set_bases(bases, self.rows * self.copies)


def add_outer(state: Tensor, key: Tensor, value: Tensor) -> None:
    """Add the outer products of keys (rows, heads, key_dim) and values (rows, heads, value_dim) to states, in place."""
    state.addcmul_(key[..., None], value[..., None, :])
