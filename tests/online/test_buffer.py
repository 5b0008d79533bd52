from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.policy_windows import Trajectory
from seqrl_cli.online.buffer import ReplayBuffer, best_trajectories
from tests.online.trajectories import trajectory


def returns(trajectories) -> list[float]:
    return [one.total_reward for one in trajectories]


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_it_begins_with_exactly_the_best_the_worst_of_them_first(count):
    offline = [trajectory(2, total) for total in (30, 10, 50, 20, 40)]
    assert returns(best_trajectories(offline, count)) == [10, 20, 30, 40, 50][-count:]


def test_ties_at_the_border_keep_the_number():
    assert len(best_trajectories([trajectory(2, 7) for _ in range(6)], 4)) == 4


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 5, 11])
def test_the_oldest_go_first_however_many_come_at_once(at_once):
    buffer, seen = ReplayBuffer(capacity=4), []
    for start in range(0, 22, at_once):
        new = [trajectory(1 + n % 3, n) for n in range(start, min(22, start + at_once))]
        buffer.add(new)
        seen += new
        assert [id(one) for one in buffer] == [id(one) for one in seen[-4:]]
        assert (buffer.first, buffer.added) == (max(0, len(seen) - 4), len(seen))


def test_what_was_handed_in_is_not_changed():
    offline = [trajectory(2, total) for total in (3, 1, 2)]
    before = list(offline)
    buffer = ReplayBuffer(capacity=2)
    buffer.add(best_trajectories(offline, 2))
    buffer.add([trajectory(2, 9)])
    assert offline == before and returns(buffer) == [3, 9]


def test_a_trajectory_is_drawn_in_proportion_to_its_length_and_its_start_uniformly():
    lengths = [1, 4, 10, 25]
    buffer = ReplayBuffer(capacity=9)
    buffer.add([trajectory(length, index) for index, length in enumerate(lengths)])
    windows = buffer.windows(context=5)
    draws = np.random.default_rng(0).integers(len(windows), size=40_000)
    batch = windows.batch(draws)
    which = batch.observations[:, 0, 0].astype(int)
    share = np.bincount(which, minlength=4) / len(draws)
    np.testing.assert_allclose(share, np.array(lengths) / sum(lengths), atol=0.01)
    for index, length in enumerate(lengths):
        starts = np.bincount(batch.timesteps[which == index, 0], minlength=length) / (which == index).sum()
        np.testing.assert_allclose(starts, 1 / length, atol=0.015)


def test_returns_to_go_are_the_sums_of_the_real_rewards():
    rng = np.random.default_rng(1)
    rewards = rng.normal(size=9).astype(np.float32)
    buffer = ReplayBuffer(capacity=1)
    buffer.add([Trajectory(np.zeros((9, 2), np.float32), np.zeros((9, 1), np.float32), rewards)])
    batch = buffer.windows(context=4).batch(np.arange(9))
    for row, start in enumerate(range(9)):
        for place in range(min(4, 9 - start)):
            expected = sum(float(reward) for reward in rewards[start + place :])
            assert batch.returns_to_go[row, place] == pytest.approx(expected, abs=1e-5)
        assert batch.mask[row].sum() == min(4, 9 - start)


def test_a_batch_may_be_larger_than_the_buffer():
    buffer = ReplayBuffer(capacity=1000)
    buffer.add([trajectory(2, 1.0)])
    windows = buffer.windows(context=20)
    batch = windows.batch(np.random.default_rng(0).integers(len(windows), size=64))
    assert batch.mask.shape == (64, 20) and batch.mask.sum(axis=1).max() == 2
