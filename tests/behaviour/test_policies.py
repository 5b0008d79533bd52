import pickle

import gymnasium
import numpy as np
import pytest

from seqrl_cli.behaviour.policies import LinearPolicy, linear_factory, uniform_factory
from seqrl_cli.errors import SeqrlError
from tests.envs.counted import UNSUITABLE

RNG = np.random.default_rng(0)


class Boundless(gymnasium.Env):
    """Takes actions in a box that may lack bounds."""

    def __init__(self, low, high):
        self.observation_space = self.action_space = gymnasium.spaces.Box(low, high)


def test_whitening_folds_into_the_policy():
    weight, mean, std = RNG.normal(size=(3, 11)) / 30, RNG.normal(size=11), RNG.uniform(0.5, 2, 11)
    observation = RNG.normal(size=11)
    folded = LinearPolicy.whitened(weight, mean, std)
    np.testing.assert_allclose(folded.mean_action(observation), weight @ ((observation - mean) / std), atol=1e-12)


def test_noise_has_the_stated_size_and_actions_stay_in_the_box():
    policy = LinearPolicy(np.zeros((2, 4)), np.array([0.0, 5.0]), noise_std=0.2)
    actions = np.array([policy.act(np.zeros(4), RNG) for _ in range(4000)])
    assert actions[:, 0].std() == pytest.approx(0.2, rel=0.05)
    assert (actions[:, 1] == 1).all()


def test_factories_cross_process_boundaries():
    policy = LinearPolicy(RNG.normal(size=(3, 11)), RNG.normal(size=3), 0.1)
    observation = RNG.normal(size=11)
    for factory in (linear_factory(policy), uniform_factory("Hopper-v4")):
        copy = pickle.loads(pickle.dumps(factory))
        first, second = (make().act(observation, np.random.default_rng(3)) for make in (factory, copy))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("missing", [np.inf, np.finfo(np.float32).max])
def test_without_bounds_actions_are_drawn_as_gymnasium_draws_them(missing):
    high = np.array([1.0, missing, 2.0, missing], np.float32)
    low = np.array([-1.0, 3.0, -missing, -missing], np.float32)
    gymnasium.register("Boundless-v0", Boundless, max_episode_steps=5, kwargs={"low": low, "high": high})
    policy = uniform_factory("Boundless-v0")()
    del gymnasium.registry["Boundless-v0"]
    ours = np.array([policy.act(np.zeros(4), RNG) for _ in range(4000)])
    box = gymnasium.spaces.Box(np.where(low > -1e38, low, -np.inf), np.where(high < 1e38, high, np.inf), seed=0)
    theirs = np.array([box.sample() for _ in range(4000)])
    for share in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(np.quantile(ours, share, axis=0), np.quantile(theirs, share, axis=0), atol=0.15)


def test_uniform_policy_fills_the_box():
    policy = uniform_factory("Pendulum-v1")()
    actions = np.array([policy.act(np.zeros(3), RNG) for _ in range(2000)])
    assert -2 <= actions.min() < -1.9 and 1.9 < actions.max() <= 2


def test_uniform_policy_takes_every_discrete_action():
    policy = uniform_factory("CartPole-v1")()
    assert {int(policy.act(np.zeros(4), RNG)) for _ in range(50)} == {0, 1}


def test_uniform_policy_needs_vectors_or_one_choice():
    with pytest.raises(SeqrlError, match=r"'CountedTwofold-v0' has actions of kind MultiDiscrete\("):
        uniform_factory(UNSUITABLE)
