"""Several models that predict as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.models.decoding.interface import Decoder, DecoderState


@dataclass(frozen=True)
class EnsembleState:
    """The members' memories of the same tokens.

    Attributes:
        members: one per decoder of the ensemble.
    """

    members: tuple[DecoderState, ...]

    def expand(self, copies: int) -> EnsembleState:
        """See :meth:`DecoderState.expand`."""
        return EnsembleState(tuple(member.expand(copies) for member in self.members))

    def select(self, index: Tensor) -> EnsembleState:
        """See :meth:`DecoderState.select`."""
        return EnsembleState(tuple(member.select(index) for member in self.members))


class EnsembleDecoder(Decoder):
    """Decoders of the same tokens whose predicted probabilities are averaged, token by token.

    Args:
        members: the decoders, at least one; all read the same dimensions and bins.
    """

    def __init__(self, members: Sequence[Decoder]) -> None:
        first = members[0]
        self.bins, self.observation_dim, self.action_dim = first.bins, first.observation_dim, first.action_dim
        self.device = first.device
        self.compiled = all(member.compiled for member in members)
        self.members = tuple(members)
        sizes = {(member.bins, member.observation_dim, member.action_dim) for member in members}
        assert len(sizes) == 1, "members that read other tokens"

    def prefill(self, tokens: Tensor) -> tuple[Tensor, EnsembleState]:
        """See :meth:`Decoder.prefill`."""
        return _joined([member.prefill(tokens) for member in self.members])

    def step(self, tokens: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """See :meth:`Decoder.step`."""
        pairs = zip(self.members, state.members, strict=True)
        return _joined([member.step(tokens, own) for member, own in pairs])

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """See :meth:`Decoder.cache_bytes`."""
        return sum(member.cache_bytes(beam_width, n_expand, horizon) for member in self.members)


def _joined(predictions: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, EnsembleState]:
    """The logarithm of the mean probability of each token, and the members' states."""
    logits, states = zip(*predictions, strict=True)
    logs = torch.stack([member.float().log_softmax(-1) for member in logits])
    return logs.logsumexp(0) - math.log(len(logits)), EnsembleState(states)
