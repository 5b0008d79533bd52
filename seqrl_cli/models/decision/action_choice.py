"""The choice of one dimension of actions in many episodes at once, given logits of all ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqrl_cli.models.decision.action_tokens import ActionTokens, Decode

Allowed = tuple[Tensor, Tensor]
"""Which ids are forbidden, (episodes, ids) bool, and which episodes have discrete actions, (episodes,) bool."""


class ActionChoice:
    """Chooses among the ids that each episode's task may use.

    Args:
        tokens: the vocabulary.
        decode: the rule that chooses a continuous number.
        device: device of the logits.
    """

    def __init__(self, tokens: ActionTokens, decode: Decode, device: torch.device) -> None:
        self.tokens = tokens
        self.decode = decode
        self.centres = tokens.centres(device)
        self._forbidden: dict[int | None, Tensor] = {}

    def allowed(self, choices: Sequence[int | None]) -> Allowed | None:
        """What episodes may choose; None if all of them may choose all ids, and have no discrete choices.

        Args:
            choices: number of discrete choices of each episode; None for continuous actions.

        Returns:
            Which ids are forbidden, (episodes, ids) bool, and which episodes have choices, (episodes,) bool.
        """
        if not self.tokens.choices:
            return None
        device = self.centres.device
        for number in set(choices) - self._forbidden.keys():
            forbidden = torch.ones(self.tokens.size, dtype=torch.bool, device=device)
            forbidden[self.tokens.allowed(number)] = False
            self._forbidden[number] = forbidden
        discrete = torch.tensor([number is not None for number in choices], device=device)
        return torch.stack([self._forbidden[number] for number in choices]), discrete

    def pick(self, logits: Tensor, allowed: Allowed | None, draws: Tensor | None) -> tuple[Tensor, Tensor]:
        """Choose an id in each episode.

        Args:
            logits: (episodes, ids).
            allowed: the result of :meth:`allowed`.
            draws: (episodes,) uniform random numbers; None unless ids are sampled.

        Returns:
            Ids (episodes,), and the numbers in [-1, 1] or the choices that they stand for.
        """
        if allowed is None:
            return self._among_bins(logits.softmax(dim=-1), draws)
        forbidden, discrete = allowed
        weights = logits.masked_fill(forbidden, -torch.inf).softmax(dim=-1)
        ids = weights.argmax(dim=-1) if draws is None else _sample(weights, draws)
        if self.decode == "mean":
            means = (weights[:, self.tokens.choices :] * self.centres).sum(dim=-1)
            return torch.where(discrete, ids, self.tokens.encode(means)), torch.where(discrete, ids.float(), means)
        bins = (ids - self.tokens.choices).clamp(min=0)
        return ids, torch.where(discrete, ids.float(), self.centres[bins])

    def _among_bins(self, weights: Tensor, draws: Tensor | None) -> tuple[Tensor, Tensor]:
        """What :meth:`pick` returns, given probabilities (episodes, bins) where all ids are bins."""
        if self.decode == "mean":
            means = (weights * self.centres).sum(dim=-1)
            return self.tokens.encode(means), means
        ids = weights.argmax(dim=-1) if draws is None else _sample(weights, draws)
        return ids, self.centres[ids]


def _sample(weights: Tensor, draws: Tensor) -> Tensor:
    """Ids (episodes,) drawn with probabilities ``weights`` (episodes, ids), by inverting their sums at ``draws``."""
    sums = weights.double().cumsum(dim=-1)
    ids = (sums < draws.double().unsqueeze(-1) * sums[:, -1:]).sum(dim=-1)
    return ids.clamp(max=weights.shape[-1] - 1)
