import warnings

import pytest

from seqrl_cli.envs.make import make_env, space_sizes
from seqrl_cli.errors import SeqrlError


@pytest.mark.parametrize(
    ("env_id", "sizes"),
    [("Hopper-v4", (11, 3)), ("HalfCheetah-v4", (17, 6)), ("Walker2d-v4", (17, 6)), ("Ant-v4", (27, 8))],
)
def test_d4rl_environments_have_d4rl_sizes_and_make_no_noise(env_id, sizes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_env(env_id)
    assert space_sizes(env) == sizes
    assert env.spec is not None and env.spec.max_episode_steps == 1000


def test_step_limit_can_be_set():
    env = make_env("Hopper-v4", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(env.action_space.sample() * 0)[3] for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("env_id", "hint"),
    [
        ("Hoper-v4", "Hopper-v4"),
        ("hopper-v4", "Hopper-v4"),
        ("Hopper-v2", "Hopper-v4"),
        ("Hopper-v9", "Hopper-v4"),
        ("Pusher-v4", "Pusher-v5"),
        ("what/Ever-v1", "gymnasium ids look like"),
        ("", "gymnasium ids look like"),
    ],
)
def test_unknown_environment_names_the_nearest(env_id, hint):
    with pytest.raises(SeqrlError, match=repr(env_id)) as caught:
        make_env(env_id)
    assert hint in caught.value.hint


def test_discrete_actions_are_refused():
    with pytest.raises(SeqrlError, match="the actions of environment 'CartPole-v1' are discrete .2 choices."):
        space_sizes(make_env("CartPole-v1"))
