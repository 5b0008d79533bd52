from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest

from seqrl_cli.behaviour.library import load_behaviour
from seqrl_cli.behaviour.policies import linear_factory
from seqrl_cli.behaviour.qualities import collect_quality, describe, named_policy
from seqrl_cli.envs.make import make_env
from seqrl_cli.errors import UsageError
from tests.data.conftest import ragged


@pytest.fixture
def endless() -> Iterator[str]:
    """Id of an environment that never ends an episode by the clock."""
    name = "EndlessHopper-v0"
    gymnasium.register(name, entry_point="gymnasium.envs.mujoco.hopper_v4:HopperEnv")
    yield name
    del gymnasium.registry[name]


@pytest.mark.slow
def test_a_quality_comes_with_the_facts_to_store():
    collected = collect_quality("hopper", "medium", transitions=6000, seed=1, workers=1)
    facts = collected.attributes
    assert collected.episodes.transitions == facts["transitions"] == 6000
    assert facts["dataset_id"] == "sim/hopper-medium" and facts["env_id"] == "Hopper-v4" and facts["seed"] == 1
    assert facts["mean_return"] == pytest.approx(collected.episodes.returns.mean())
    assert facts["normalized_score"] == pytest.approx((facts["mean_return"] + 20.272305) / (3234.3 + 20.272305))
    assert 0.2 < facts["normalized_score"] < 0.6
    assert facts["max_episode_steps"] == 1000
    assert collect_quality("hopper", "medium", transitions=6000, seed=1, workers=1).attributes == facts


@pytest.mark.parametrize(("env_id", "limit"), [("Reacher-v4", 50), ("Hopper-v4", 1000)])
def test_the_step_limit_is_that_of_the_environment(env_id, limit):
    facts = describe(ragged(0), env_id, 3, None, None)
    assert (facts["env_id"], facts["max_episode_steps"]) == (env_id, limit)
    assert "reference_min" not in facts and "normalized_score" not in facts


def test_an_environment_without_a_step_limit_states_none(endless):
    assert "max_episode_steps" not in describe(ragged(0), endless, 3, None, None)


@pytest.mark.slow
def test_medium_expert_is_half_and_half():
    behaviour = load_behaviour("hopper")
    episodes = collect_quality("hopper", "medium-expert", transitions=8000, workers=1).episodes
    medium = behaviour.medium
    # Where no action is at its bound, what is left beside the mean is the noise: 0.3 for medium, 0.1 for the expert.
    means = np.clip(episodes.observations @ medium.weight.T + medium.bias, -1, 1)
    near = np.abs(episodes.actions - means).max(axis=1) < 5 * medium.noise_std
    inside = (np.abs(means) < 0.2).all(axis=1) & near
    first = inside[:4000]
    assert (episodes.actions - means)[:4000][first].std() == pytest.approx(medium.noise_std, rel=0.2)
    assert any(3500 < offset < 5500 for offset in episodes.offsets)


@pytest.mark.slow
def test_replay_gets_better_over_time():
    returns = collect_quality("hopper", "medium-replay", transitions=8000, workers=1).episodes.returns
    assert returns[-5:].mean() > 3 * returns[:20].mean()


def test_medium_hopper_hops_forward():
    """In the air at least a third of the time, in several flights, and metres from where it started."""
    env = make_env("Hopper-v4")
    data = env.unwrapped.data
    policy = linear_factory(load_behaviour("hopper").medium)()
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    flying, ended = [], False
    while not ended:
        observation, _, terminated, truncated, _ = env.step(policy.act(observation, rng))
        flying.append(data.ncon == 0)
        ended = terminated or truncated
    flights = np.count_nonzero(np.diff(np.array(flying, dtype=int)) == 1)
    assert data.qpos[0] > 2 and np.mean(flying) > 1 / 3 and flights >= 3


def test_policies_have_names():
    assert named_policy("hopper", "medium")().noise_std == load_behaviour("hopper").medium.noise_std
    assert named_policy("hopper", "random")().low.tolist() == [-1, -1, -1]
    with pytest.raises(UsageError, match="expart") as caught:
        named_policy("hopper", "expart")
    assert "expert" in caught.value.hint
    with pytest.raises(UsageError, match="mediun"):
        collect_quality("hopper", "mediun")
