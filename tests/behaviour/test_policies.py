import pickle

import numpy as np
import pytest

from seqrl_cli.behaviour.policies import LinearPolicy, linear_factory, uniform_factory
from seqrl_cli.errors import SeqrlError

RNG = np.random.default_rng(0)


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


def test_uniform_policy_fills_the_box():
    policy = uniform_factory("Pendulum-v1")()
    actions = np.array([policy.act(np.zeros(3), RNG) for _ in range(2000)])
    assert -2 <= actions.min() < -1.9 and 1.9 < actions.max() <= 2


def test_uniform_policy_takes_every_discrete_action():
    policy = uniform_factory("CartPole-v1")()
    assert {int(policy.act(np.zeros(4), RNG)) for _ in range(50)} == {0, 1}


def test_uniform_policy_needs_vectors():
    with pytest.raises(SeqrlError, match="'FrozenLake-v1' has observations of 16 discrete choices"):
        uniform_factory("FrozenLake-v1")
