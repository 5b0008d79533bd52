"""Value targets against the definition, summed one term at a time."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.targets import discounted_values, penalised_rewards
from tests.reference import join_transitions


def naive_values(rewards: np.ndarray, offsets: np.ndarray, discount: float) -> np.ndarray:
    values = np.zeros(len(rewards))
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):
        for t in range(begin, end):
            for k in range(end - t - 1):
                values[t] += discount**k * rewards[t + 1 + k]
    return values


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("penalty", [-100.0, None])
def test_values_equal_the_definition(episodes, discount, penalty):
    rewards = penalised_rewards(episodes, penalty)
    values = discounted_values(rewards, episodes.offsets, discount)
    np.testing.assert_allclose(values, naive_values(rewards, episodes.offsets, discount), rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 127, 128, 129, 1500])
def test_one_episode_of_any_length(length):
    rewards = np.random.default_rng(length).standard_normal(length)
    offsets = np.array([0, length])
    np.testing.assert_allclose(
        discounted_values(rewards, offsets, 0.99), naive_values(rewards, offsets, 0.99), rtol=1e-13, atol=1e-11
    )


def test_equal_futures_have_bit_equal_values():
    # Ties decide quantile edges: the same rewards must give the same value wherever the episode stands.
    lengths = np.array([7, 300, 7, 64])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = discounted_values(np.full(offsets[-1], 0.1), offsets, 0.99)
    longest = values[offsets[1] : offsets[2]]
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):
        np.testing.assert_array_equal(values[begin:end], longest[300 - (end - begin) :])


def test_last_value_of_every_episode_is_zero(episodes):
    joined = join_transitions(episodes, 0.99, -100.0)
    assert (joined[episodes.offsets[1:] - 1, -1] == 0).all()


def test_penalty_at_terminals_only(episodes):
    joined = join_transitions(episodes, 0.99, -100.0)
    assert (joined[episodes.terminals, -2] == -100.0).all()
    np.testing.assert_array_equal(joined[~episodes.terminals, -2], episodes.rewards[~episodes.terminals])


def test_rows_hold_observation_action_reward_value(episodes):
    joined = join_transitions(episodes, 0.99, None)
    assert joined.dtype == np.float64
    assert joined.shape == (episodes.transitions, 3 + 2 + 2)
    np.testing.assert_array_equal(joined[:, :3], episodes.observations)
    np.testing.assert_array_equal(joined[:, 3:5], episodes.actions)
    np.testing.assert_array_equal(joined[:, 5], episodes.rewards)


def test_rewards_are_not_written_to(episodes):
    before = episodes.rewards.copy()
    join_transitions(episodes, 0.99, -100.0)
    np.testing.assert_array_equal(episodes.rewards, before)


def test_single_transition():
    episodes = Episodes.from_flags([[1.0]], [[2.0]], [3.0], [False], [True])
    assert join_transitions(episodes, 0.99, -100.0).tolist() == [[1.0, 2.0, 3.0, 0.0]]
