"""What a transition becomes before it is tokenized: ``[observation, action, reward, value]``.

The layout and the value target are those of the Trajectory Transformer (Janner et al., 2021, section 3.1): the value
of a step is the discounted sum of the rewards that follow it in its episode, without the step's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes


def penalised_rewards(episodes: Episodes, termination_penalty: float | None) -> NDArray[np.float64]:
    """Rewards with ``termination_penalty`` in place of the reward at every terminal; timeouts keep theirs.

    Returns:
        ``(transitions,)`` float64.
    """
    rewards = episodes.rewards.astype(np.float64)
    if termination_penalty is not None:
        rewards[episodes.terminals] = termination_penalty
    return rewards


def discounted_values(rewards: NDArray[np.float64], offsets: NDArray[np.int64], discount: float) -> NDArray[np.float64]:
    """``V_t = sum_{k >= 0} discount^k r_{t+1+k}`` inside each episode; zero at its last step, never bootstrapped.

    The sum is built by doubling: the sum over ``2m`` rewards is the sum over ``m`` plus ``discount^m`` times the sum
    over ``m`` found ``m`` rows later. This takes log2(longest episode) passes over flat arrays, whatever the number of
    episodes, and rounds like pairwise summation.

    Args:
        rewards: ``(transitions,)``.
        offsets: ``(episodes + 1,)`` row at which each episode starts.
        discount: factor per step.

    Returns:
        ``(transitions,)`` float64.
    """
    lengths = np.diff(offsets)
    steps_left = np.repeat(offsets[1:] - 1, lengths) - np.arange(len(rewards))
    values = np.zeros_like(rewards)
    values[:-1] = np.where(steps_left[:-1] > 0, rewards[1:], 0.0)
    span = 1
    while span < lengths.max():
        later = np.where(steps_left[:-span] > span, values[span:], 0.0)
        values[:-span] += discount**span * later
        span *= 2
    return values


def transition_columns(
    episodes: Episodes, discount: float, termination_penalty: float | None
) -> Iterator[NDArray[Any]]:
    """The columns ``[observation, action, reward, value]``, one at a time, so that they are never joined in memory.

    Yields:
        ``observation_dim + action_dim + 2`` arrays of shape ``(transitions,)``.
    """
    yield from episodes.observations.T
    yield from episodes.actions.reshape(episodes.transitions, -1).T  # choices have no axis of their own
    rewards = penalised_rewards(episodes, termination_penalty)
    yield rewards
    yield discounted_values(rewards, episodes.offsets, discount)
