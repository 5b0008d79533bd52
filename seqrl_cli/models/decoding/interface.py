"""The decoder interface: what planning knows of a sequence model.

Rows of a decoder come in groups, one group an episode, the rows of a group next to each other and equally many in each.
``prefill`` starts with one row a group; ``expand`` and ``select`` change the rows inside the groups, never across them.
That is what lets a model store once what the rows of a group share, and it is all that a beam search needs.

A state is used up by the call that takes it: keep only the newest. Which part of the sequence a model still sees is its
own business (see :class:`Window`); the caller feeds tokens and never crops them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor


class DecoderState(Protocol):
    """What a decoder remembers of the tokens that its rows have consumed."""

    def expand(self, copies: int) -> Self:
        """Make each row ``copies`` consecutive rows with the same past."""

    def select(self, index: Tensor) -> Self:
        """Keep some rows of each group.

        Args:
            index: (groups, kept) int64, positions among the group's rows; may repeat.
        """


class Decoder(Protocol):
    """A sequence model that consumes tokens one at a time, for many rows at once.

    Attributes:
        bins: tokens a dimension; the token ``bins`` means stop.
        observation_dim: numbers an observation.
        action_dim: numbers an action.
        device: where tokens must be and logits are.
        compiled: whether C++ computes, and not PyTorch alone.
    """

    bins: int
    observation_dim: int
    action_dim: int
    device: torch.device
    compiled: bool = False

    def prefill(self, tokens: Tensor) -> tuple[Tensor, Any]:
        """Consume the known past of each group.

        Args:
            tokens: (groups, time) int64 in [0, bins], starting with a transition's first token; time >= 1.

        Returns:
            Logits of the next token, (groups, bins + 1) float32, and a state with one row a group.
        """

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Consume one token a row.

        Args:
            tokens: (rows,) int64 in [0, bins].
            state: the newest state.

        Returns:
            Logits of the next token, (rows, bins + 1) float32, and the state after the token.
        """

    def greedy(self, logits: Tensor, state: Any, count: int) -> tuple[Tensor, Tensor, Any]:
        """Consume the likeliest next token of each row, and that of what follows, ``count`` times.

        Args:
            logits: (rows, bins + 1), of each row's next token.
            state: the newest state.
            count: tokens, all of one transition.

        Returns:
            The tokens (rows, count) int64, logits of the token after them, and the state after them.
        """
        tokens = []
        for _ in range(count):
            tokens.append(greedy_token(logits))
            logits, state = self.step(tokens[-1], state)
        return torch.stack(tokens, dim=1), logits, state

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Most memory that planning takes for one group, in bytes, weights not counted.

        Args:
            beam_width: rows kept after each transition.
            n_expand: rows that each becomes in between.
            horizon: transitions planned.
        """


def rows_kept(index: Tensor, rows: int) -> Tensor:
    """Numbers of the rows, of so many in all, that ``index`` (groups, kept) keeps of each group: (groups * kept,)."""
    first = torch.arange(len(index), device=index.device)[:, None] * (rows // len(index))
    return (index + first).flatten()


def greedy_token(logits: Tensor) -> Tensor:
    """The likeliest token of each row, the lowest one among equals: (rows, tokens) -> (rows,) int64."""
    return logits.max(dim=-1).indices  # half the time of argmax


class RecurrentDecoder(Decoder, Protocol):
    """A decoder whose model can keep all of an episode's past in a memory of constant size.

    Such a memory outlives the states: it is made from what really happened, one an episode, and a plan starts from it
    instead of from the last transitions. Not every model can; a GPT cannot.
    """

    def with_state(self, memories: Sequence[Any]) -> Self:
        """This decoder for sequences that follow on memories, one a group of ``prefill`` and ``update_state``."""

    def update_state(self, tokens: Tensor) -> list[Any]:
        """Consume whole transitions.

        Args:
            tokens: (groups, time) int64 in [0, bins].

        Returns:
            A memory a group, of these tokens and, if this decoder follows on memories, of what these held.
        """


@dataclass(frozen=True)
class Window:
    """Which part of a sequence a model sees while it plans.

    A sliding window is the Trajectory Transformer's: no forward pass sees more than ``limit`` tokens; when there are
    more, whole transitions leave on the left and positions start again at 0. A growing window is cut so once, before
    planning, and then grows, for models whose block holds context and plan together.

    Attributes:
        transitions: transitions seen, the current one included; one less of them is in the past.
        slides: whether the window is cut whenever it is full, or only once.
    """

    transitions: int
    slides: bool = True

    def limit(self, transition_dim: int) -> int:
        """Most tokens a forward pass sees (of a growing window, the first one)."""
        return self.transitions * transition_dim - 1

    def overflow(self, length: int, transition_dim: int) -> int:
        """Tokens that must leave a sequence of ``length`` tokens on the left, a multiple of ``transition_dim``."""
        excess = max(0, length - self.limit(transition_dim))
        return -(-excess // transition_dim) * transition_dim
