"""Keys of a pool of adapters: a window uses the adapter whose key is nearest to its embedded states (L2M, L2P)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Keys(nn.Module):
    """One key per adapter, with counts of how often each was used.

    In training, keys that earlier tasks used count less, so that a new task takes fresh ones. The weights of the keys
    stay as they are during a task (L2M, arXiv 2306.14884, section 3.3).

    Args:
        size: number of keys.
        width: length of a key.
        generator: source of the keys, which are uniform in [-1, 1].
    """

    used: Tensor
    batches: Tensor
    weights: Tensor

    def __init__(self, size: int, width: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.empty(size, width).uniform_(-1.0, 1.0, generator=generator))
        self.register_buffer("used", torch.zeros(size, dtype=torch.float64))  # mean share of a batch
        self.register_buffer("batches", torch.zeros((), dtype=torch.float64))
        self.register_buffer("weights", torch.full((size,), 1.0 / size, dtype=torch.float64))

    def similarities(self, queries: Tensor) -> Tensor:
        """Cosines (batch, keys) of queries (batch, width) and keys."""
        return functional.normalize(queries.float(), dim=-1) @ functional.normalize(self.keys, dim=-1).T

    def choose(self, queries: Tensor, penalise_used: bool) -> Tensor:
        """The chosen key (batch,) of each query.

        Args:
            queries: (batch, width).
            penalise_used: whether keys that earlier tasks used count less.
        """
        scores = self.similarities(queries).detach()
        if penalise_used:
            scores = (scores + 1) / 2 * self.weights.to(scores)
        return scores.argmax(dim=-1)

    def nearest(self, query: Tensor) -> int:
        """The key nearest to one query (width,)."""
        return int(self.choose(query.unsqueeze(0), penalise_used=False)[0])

    @torch.no_grad()
    def count(self, chosen: Tensor) -> None:
        """Add a batch's choices (batch,) to the counts."""
        share = torch.bincount(chosen, minlength=len(self.used)).double() / len(chosen)
        self.batches += 1
        self.used += (share - self.used) / self.batches

    @torch.no_grad()
    def begin_task(self) -> None:
        """Set the weights of the keys by their use so far; they stay as they are until the next task."""
        unused = 1 / (self.used + 1e-6)
        self.weights.copy_(unused / unused.sum())
