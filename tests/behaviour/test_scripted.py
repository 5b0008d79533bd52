"""Scripted policies beside those of Meta-World, which the domains' tests play."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.behaviour.controllers import follow_ball
from seqrl_cli.behaviour.scripted import NoisyPolicy, PushedPolicy, scripted_parts

STEPS = 5000


def played(seed: int, **options) -> np.ndarray:
    """The actions of a policy that always chooses (0.5, -0.5)."""
    policy = PushedPolicy(NoisyPolicy(lambda observation: np.array([0.5, -0.5])), **options)
    rng = np.random.default_rng(seed)
    return np.array([policy.act(np.zeros(3), rng) for _ in range(STEPS)])


def test_pushes_hold_one_random_action_and_the_policy_acts_otherwise():
    actions = played(0, rate=0.01, steps=10)
    pushed = (actions != [0.5, -0.5]).any(axis=1)
    assert 0.05 < pushed.mean() < 0.15
    starts = np.flatnonzero(np.diff(pushed.astype(int)) == 1) + 1
    assert len(starts) > 20
    for start in starts:
        assert (actions[start : start + 10] == actions[start]).all()
    assert len(np.unique(actions[starts], axis=0)) == len(starts) and np.abs(actions).max() <= 1


def test_equal_seeds_give_equal_pushes():
    assert np.array_equal(played(3), played(3)) and not np.array_equal(played(3), played(4))


def test_only_noisy_controllers_are_pushed_and_each_episode_has_its_own_pushes():
    parts = scripted_parts("dmc/cartpole-swingup")
    assert [isinstance(part.make_policy(), PushedPolicy) for part in parts] == [False, True, True]
    assert parts[1].make_policy() is not parts[1].make_policy()


@pytest.mark.parametrize(("ball", "action"), [(20, 3), (70, 4), (40, 0), (None, 0)])
def test_the_paddle_of_pong_follows_the_ball(ball, action):
    screen = np.full((84, 84), 87, np.uint8)
    screen[:13], screen[78:] = 236, 236  # the walls
    screen[36:44, 73:76] = 147  # its paddle
    if ball is not None:
        screen[ball, 50] = 236
    assert follow_ball(screen) == action
