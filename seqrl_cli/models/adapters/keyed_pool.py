"""Choice of a pool's members by keys, as in L2P and L2M.

L2P: Wang et al. 2022, arXiv 2112.08654, sections 4.1 and 4.2. L2M: Schmied et al. 2023, arXiv 2306.14884, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class KeyedPool(nn.Module):
    """A key per member of a pool; a sample uses the members whose keys are most similar to its query.

    While a task after the first is trained, similarities are weighted by how rarely a member has been chosen so far, so
    that a new task takes members that no other has used. The weights are those of the task's beginning.

    Each key is a parameter of its own: those that no sample chooses get no gradient, so an optimizer leaves them alone.

    Args:
        members: size of the pool.
        width: length of keys and queries.
        top_k: members per sample.
        generator: source of the keys, uniform in [-1, 1]; the global one when None.

    Attributes:
        batches: number of training batches counted.
        usage: (members,) float64, mean over these batches of the share of samples that chose a member.
        weights: (members,) float64; in training, members are ranked by ``(cosine + 1) / 2`` times these, which are
            equal in the first task.
    """

    def __init__(self, members: int, width: int, top_k: int = 1, generator: torch.Generator | None = None) -> None:
        super().__init__()
        assert 1 <= top_k <= members
        self.top_k = top_k
        keys = torch.empty(members, width).uniform_(-1, 1, generator=generator)
        self.keys = nn.ParameterList(key.clone() for key in keys)
        self.batches: Tensor
        self.usage: Tensor
        self.weights: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("usage", torch.zeros(members, dtype=torch.float64))
        self.register_buffer("weights", torch.ones(members, dtype=torch.float64))

    @torch.no_grad()
    def choose(self, queries: Tensor, allowed: Tensor | None = None) -> Tensor:
        """The members of each sample, the most similar first.

        Args:
            queries: (batch, width).
            allowed: (members,) or (batch, members) bool, those that may be chosen, at least ``top_k`` of them;
                None for all.

        Returns:
            (batch,) int64, or (batch, top_k) if samples use several.
        """
        scores = self.training_scores(queries) if self.training else self.similarity(queries).double()
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        found = scores.topk(self.top_k, dim=1).indices
        return found[:, 0] if self.top_k == 1 else found

    def training_scores(self, queries: Tensor) -> Tensor:
        """Scores (batch, members), float64, by which queries (batch, width) choose in training.

        Members that were rarely used in earlier tasks have higher ones.
        """
        return (self.similarity(queries).double() + 1) / 2 * self.weights

    def similarity(self, queries: Tensor) -> Tensor:
        """Cosines (batch, members) of queries (batch, width) and keys, float32.

        No bit of a row depends on the other rows, as those of a matrix product can.
        """
        keys = functional.normalize(torch.stack(list(self.keys)).float(), dim=1)
        return (functional.normalize(queries.float(), dim=1).unsqueeze(1) * keys).sum(dim=2)

    def pull(self, queries: Tensor, choice: Tensor) -> Tensor:
        """The mean cosine of queries and the keys that they chose, to be maximized; queries get no gradient.

        Args:
            queries: (batch, width).
            choice: the choice that :meth:`choose` returned.
        """
        choice = choice.view(len(queries), -1)
        members, rows = choice.unique(return_inverse=True)
        keys = torch.stack([self.keys[member] for member in members.tolist()]).float()
        own = functional.normalize(keys, dim=1)[rows]  # (batch, top_k, width)
        return (functional.normalize(queries.detach().float(), dim=1).unsqueeze(1) * own).sum(dim=2).mean()

    @torch.no_grad()
    def count(self, choice: Tensor) -> None:
        """Record which members a training batch has chosen."""
        shares = torch.bincount(choice.flatten(), minlength=len(self.usage)).double() / len(choice)
        self.batches += 1
        self.usage += (shares - self.usage) / self.batches

    @torch.no_grad()
    def begin_task(self) -> None:
        """Weight members by the inverse of their use so far, from now on; call it before each task but the first."""
        rarity = 1 / (self.usage + 1e-6)
        self.weights.copy_(rarity / rarity.sum())
