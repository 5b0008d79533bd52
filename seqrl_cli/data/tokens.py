"""A dataset as tokens, which ``seqrl discretize`` makes and training reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.discretizer import Discretizer, Strategy, token_dtype
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.space import DiscreteSpace
from seqrl_cli.data.targets import transition_columns
from seqrl_cli.errors import SeqrlError


@dataclass(frozen=True)
class TokenizedDataset:
    """Tokens of every transition, with everything needed to read them.

    There may be no transitions: an imported model comes with its bin edges, but without the data that placed them.

    Attributes:
        tokens: ``(transitions, dims)`` unsigned; dims are ``[observation, action, reward, value]``.
        offsets: ``(episodes + 1,)`` int64 row at which each episode starts.
        returns: ``(episodes,)`` float64 undiscounted returns, without the termination penalty.
        discretizer: bin edges of each dimension.
        observation_dim: number of observation dims.
        action_dim: number of action dims.
        discount: factor per step in the value target.
        termination_penalty: reward at terminals; None = the data's own rewards.
        dataset_id: name of the dataset in the catalogue, or its path.
        env_id: gymnasium id of its environment; None if unknown.
        observation_slice: number of leading observation dimensions that were kept; None = all.
        fingerprint: hash of the data and of the settings above, see :func:`fingerprint`.
        episodes_sha256: hash of all the dataset's arrays, as stored in the dataset; None if it stores none.
        terminal_rewards: description of what became of the rewards at terminals, and why; None without terminals, or if
            unknown.
        choices: number of discrete actions, whose tokens are the choices themselves; None if actions are continuous.
    """

    tokens: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    returns: NDArray[np.float64]
    discretizer: Discretizer
    observation_dim: int
    action_dim: int
    discount: float
    termination_penalty: float | None
    dataset_id: str
    env_id: str | None
    observation_slice: int | None
    fingerprint: str
    episodes_sha256: str | None = None
    terminal_rewards: str | None = None
    choices: int | None = None

    @property
    def dims(self) -> int:
        """Tokens per transition."""
        return int(self.tokens.shape[1])

    @property
    def bins(self) -> int:
        """Bins of each dimension; also the stop token."""
        return self.discretizer.bins


def fingerprint(
    episodes: Episodes, *, bins: int, strategy: Strategy, discount: float, termination_penalty: float | None
) -> str:
    """Hash of the data and of the settings that decide the tokens; the number of choices is one of them."""
    settings = {"bins": bins, "strategy": strategy, "discount": discount, "termination_penalty": termination_penalty}
    choices = choices_of(episodes)
    return episodes.fingerprint(settings if choices is None else {**settings, "choices": choices})


def choices_of(episodes: Episodes) -> int | None:
    """The number of discrete actions; None if actions are continuous."""
    action = episodes.spaces.action
    return action.n if isinstance(action, DiscreteSpace) else None


def tokenize(
    episodes: Episodes,
    *,
    dataset_id: str,
    env_id: str | None,
    bins: int = 100,
    strategy: Strategy = "quantile",
    discount: float = 0.99,
    termination_penalty: float | None = -100.0,
    observation_slice: int | None = None,
    episodes_sha256: str | None = None,
    terminal_rewards: str | None = None,
    discretizer: Discretizer | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TokenizedDataset:
    """Fit bins to a dataset and encode it, one dimension at a time.

    Args:
        episodes: the data, with observations already cut to ``observation_slice``.
        dataset_id: name of the dataset, which is stored with the tokens.
        env_id: gymnasium id of its environment, which is stored with the tokens.
        bins: bins per dimension.
        strategy: ``quantile`` or ``uniform``.
        discount: factor per step in the value target.
        termination_penalty: reward at true terminals; None keeps the data's own.
        observation_slice: number of observation dimensions that were kept, which is stored with the tokens.
        episodes_sha256: hash of the dataset's arrays, which is stored with the tokens.
        terminal_rewards: description of what became of the rewards at terminals, which is stored with the tokens.
        discretizer: bins of other data, with which these are encoded; None fits bins to them.
        progress: called with (dimensions done, all dimensions) after each dimension.

    Raises:
        SeqrlError: unknown strategy, fewer than one bin, fewer bins than choices, or values that are not finite.
    """
    choices = choices_of(episodes)
    if choices is not None and choices > bins:
        message = f"{dataset_id} has {choices} discrete actions, each of which needs a bin, but data.bins = {bins}"
        raise SeqrlError(message, f"use data.bins={choices} or more")
    digest = fingerprint(
        episodes, bins=bins, strategy=strategy, discount=discount, termination_penalty=termination_penalty
    )
    if discretizer is None:
        columns = transition_columns(episodes, discount, termination_penalty)
        discrete = {} if choices is None else {episodes.observation_dim: choices}
        discretizer = Discretizer.fit_columns(columns, bins, strategy, discrete)
    else:
        digest = hashlib.sha256(digest.encode() + discretizer.edges.tobytes()).hexdigest()
    tokens = _encode(episodes, discretizer, discount, termination_penalty, progress)
    return TokenizedDataset(
        tokens=tokens,
        offsets=episodes.offsets,
        returns=episodes.returns,
        discretizer=discretizer,
        observation_dim=episodes.observation_dim,
        action_dim=episodes.action_dim,
        discount=discount,
        termination_penalty=termination_penalty,
        dataset_id=dataset_id,
        env_id=env_id,
        observation_slice=observation_slice,
        fingerprint=digest,
        episodes_sha256=episodes_sha256,
        terminal_rewards=terminal_rewards,
        choices=choices,
    )


def _encode(
    episodes: Episodes,
    discretizer: Discretizer,
    discount: float,
    termination_penalty: float | None,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.unsignedinteger]:
    """Tokens ``(transitions, dims)``, made one dimension at a time."""
    tokens = np.empty((episodes.transitions, discretizer.dims), dtype=token_dtype(discretizer.bins))
    for dim, column in enumerate(transition_columns(episodes, discount, termination_penalty)):
        tokens[:, dim] = discretizer.encode_column(column, dim)
        if progress:
            progress(dim + 1, discretizer.dims)
    return tokens
