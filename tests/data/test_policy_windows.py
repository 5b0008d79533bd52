"""Windows for policies: hindsight returns, one padding, steps drawn evenly."""

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.policy_windows import PolicyWindows, Trajectory, best_fraction, cut_windows, trajectories_of


def make_trajectory(length: int, first: float = 0.0, reward: float = 1.0) -> Trajectory:
    """Observations count from ``first``, actions are their negatives."""
    steps = first + np.arange(length, dtype=np.float32)
    rewards = np.full(length, reward, np.float32)
    return Trajectory(np.stack([steps, steps], axis=1), -steps[:, None], rewards, terminated=True)


def naive_batch(trajectories, windows, context):
    """The same, one number at a time."""
    pairs = [(one, start) for one in trajectories for start in range(len(one))]
    rows = []
    for index in windows:
        one, start = pairs[index]
        row = []
        for step in range(start, start + context):
            real = step < len(one)
            row.append(
                (
                    one.observations[step].tolist() if real else [0.0, 0.0],
                    one.actions[step].tolist() if real else [0.0],
                    float(sum(one.rewards[step:])) if real else 0.0,
                    step if real else 0,
                    real,
                )
            )
        rows.append(row)
    return [np.array([[step[part] for step in row] for row in rows]) for part in range(5)]


def test_batches_equal_naive_ones():
    trajectories = [make_trajectory(3, reward=0.5), make_trajectory(1, 10), make_trajectory(7, 20, -2.0)]
    windows = PolicyWindows(trajectories, context=4)
    assert len(windows) == 11
    batch = windows.batch(range(11))
    expected = naive_batch(trajectories, range(11), 4)
    found = (batch.observations, batch.actions, batch.returns_to_go, batch.timesteps, batch.mask)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours, theirs)
    assert batch.observations.dtype == batch.returns_to_go.dtype == np.float32 and batch.mask.dtype == bool


def test_returns_to_go_are_hindsight_returns_of_real_rewards():
    one = Trajectory(np.zeros((4, 1), np.float32), np.zeros((4, 1), np.float32), np.array([1, -2, 3, 10], np.float32))
    assert one.returns_to_go.tolist() == [12, 11, 13, 10]
    assert one.total_reward == 12
    # with the magnitudes of a locomotion episode no digit is lost on the way
    long = Trajectory(np.zeros((1000, 1)), np.zeros((1000, 1)), np.linspace(0, 9.7, 1000, dtype=np.float32))
    exact = np.array([long.rewards[step:].astype(np.float64).sum() for step in range(1000)])
    np.testing.assert_allclose(long.returns_to_go, exact, rtol=1e-7)


def test_a_window_of_one_step_and_one_longer_than_any_trajectory():
    one = make_trajectory(3)
    assert cut_windows([one], [2], 1).mask.tolist() == [[True]]
    batch = cut_windows([one, one], [0, 2], 6)
    assert batch.mask.sum(axis=1).tolist() == [3, 1]
    assert (batch.observations[~batch.mask] == 0).all() and (batch.timesteps[~batch.mask] == 0).all()


def test_uniform_windows_take_trajectories_by_their_length():
    trajectories = [make_trajectory(10), make_trajectory(30, 100)]
    windows = PolicyWindows(trajectories, context=1)
    drawn = windows.batch(np.random.default_rng(0).integers(len(windows), size=4000))
    long = drawn.observations[:, 0, 0] >= 100
    assert abs(long.mean() - 0.75) < 0.03
    starts = np.bincount(drawn.timesteps[long, 0], minlength=30)
    assert starts.min() > 0.6 * starts.mean() and starts.max() < 1.4 * starts.mean()


def test_episodes_become_trajectories_without_a_copy():
    rng = np.random.default_rng(0)
    terminals, timeouts = np.zeros(9, bool), np.zeros(9, bool)
    terminals[3] = timeouts[8] = True
    episodes = Episodes.from_flags(rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), np.arange(9), terminals, timeouts)
    first, second = trajectories_of(episodes)
    assert (len(first), first.terminated, len(second), second.terminated) == (4, True, 5, False)
    assert np.shares_memory(second.observations, episodes.observations)
    assert [first.total_reward, second.total_reward] == episodes.returns.tolist()


@pytest.mark.parametrize(
    ("share", "kept"), [(0.01, [2]), (0.4, [2]), (0.41, [1, 2]), (0.9, [0, 1, 2]), (1.0, [0, 1, 2])]
)
def test_the_best_fraction_of_the_steps(share, kept):
    trajectories = [make_trajectory(2, reward=0.1), make_trajectory(4, reward=1.0), make_trajectory(4, reward=5.0)]
    assert best_fraction(trajectories, share) == [trajectories[index] for index in kept]
