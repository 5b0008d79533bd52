"""The decoder interface, through which planning uses a sequence model.

A decoder's rows come in groups, one group per episode. The rows of a group are adjacent, and all groups have the same
size. ``prefill`` starts with one row per group; ``expand`` and ``select`` change rows within groups only. So a model
can store once what the rows of a group share. Beam search needs no more than that.

Each call consumes its state: keep only the newest. The decoder decides which part of the sequence it sees (see
:class:`Window`); the caller passes all tokens and never crops them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor


class DecoderState(Protocol):
    """A decoder's memory of the tokens that its rows have consumed."""

    def expand(self, copies: int) -> Self:
        """Replace each row by ``copies`` consecutive rows with the same past."""

    def select(self, index: Tensor) -> Self:
        """Keep some rows of each group.

        Args:
            index: (groups, kept) int64, positions among the group's rows, possibly repeated.
        """


class Decoder(Protocol):
    """A sequence model that consumes tokens one at a time, for many rows at once.

    Attributes:
        bins: tokens per dimension; the token ``bins`` is the stop token.
        observation_dim: numbers per observation.
        action_dim: numbers per action.
        device: device of tokens and logits.
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
            Logits of the next token, (groups, bins + 1) float32, and a state with one row per group.
        """

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Consume one token per row.

        Args:
            tokens: (rows,) int64 in [0, bins].
            state: the newest state.

        Returns:
            Logits of the next token, (rows, bins + 1) float32, and the state after the token.
        """

    def greedy(self, logits: Tensor, state: Any, count: int) -> tuple[Tensor, Tensor, Any]:
        """Consume each row's most likely next token, ``count`` times.

        Args:
            logits: (rows, bins + 1), of the next token.
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
        """Most memory that planning needs for one group, in bytes, without the weights.

        Args:
            beam_width: rows kept after each transition.
            n_expand: rows that each of them is expanded to.
            horizon: number of transitions planned.
        """


def rows_kept(index: Tensor, rows: int) -> Tensor:
    """Row numbers (groups * kept,) that ``index`` (groups, kept) selects from ``rows`` rows in groups."""
    first = torch.arange(len(index), device=index.device)[:, None] * (rows // len(index))
    return (index + first).flatten()


def greedy_token(logits: Tensor) -> Tensor:
    """The most likely token of each row, the lowest among equals: (rows, tokens) -> (rows,) int64."""
    return logits.max(dim=-1).indices  # takes half the time of argmax


class RecurrentDecoder(Decoder, Protocol):
    """A decoder whose model keeps an episode's whole past in a recurrent state of constant size.

    There is one such state per episode, computed from the transitions that really happened; each plan starts from it
    instead of from the last transitions. A GPT has none.
    """

    def with_state(self, states: Sequence[Any]) -> Self:
        """This decoder for sequences that continue recurrent states, one per group of its calls."""

    def update_state(self, tokens: Tensor) -> list[Any]:
        """Consume whole transitions.

        Args:
            tokens: (groups, time) int64 in [0, bins].

        Returns:
            One recurrent state per group, which includes those that this decoder continues.
        """


@dataclass(frozen=True)
class Window:
    """The part of a sequence that a model sees while it plans.

    A sliding window is the Trajectory Transformer's: no forward pass sees more than ``limit`` tokens; when there are
    more, whole transitions are dropped on the left and positions restart at 0. A growing window is cropped only once,
    before planning, for models whose block holds context and plan together.

    Attributes:
        transitions: number of transitions seen, including the current one.
        slides: whether the window is cropped whenever it is full, or only once.
    """

    transitions: int
    slides: bool = True

    def limit(self, transition_dim: int) -> int:
        """Most tokens that a forward pass sees; with a growing window, the first pass."""
        return self.transitions * transition_dim - 1

    def overflow(self, length: int, transition_dim: int) -> int:
        """Tokens to drop on the left of a sequence of ``length`` tokens, a multiple of ``transition_dim``."""
        excess = max(0, length - self.limit(transition_dim))
        return -(-excess // transition_dim) * transition_dim
