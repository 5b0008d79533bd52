from dataclasses import replace

import numpy as np
import pytest

from seqrl_cli.behaviour.library import list_families, load_behaviour, rounded, save_behaviour
from seqrl_cli.behaviour.policies import LinearPolicy
from seqrl_cli.data.catalogue import QUALITIES, resolve
from seqrl_cli.envs.make import make_env, space_sizes
from seqrl_cli.envs.scores import normalized_score
from seqrl_cli.errors import UsageError


@pytest.mark.parametrize("family", list_families())
def test_shipped_policies_fit_their_environment(family):
    behaviour = load_behaviour(family)
    observation_dim, action_dim = space_sizes(make_env(behaviour.env_id))
    for policy in (behaviour.expert, behaviour.medium, *behaviour.replay):
        assert policy.weight.shape == (action_dim, observation_dim) and policy.bias.shape == (action_dim,)
    assert len(behaviour.replay) >= 12 and behaviour.iterations["replay"][-1] == behaviour.iterations["medium"]


@pytest.mark.parametrize("family", list_families())
def test_shipped_qualities_are_as_in_d4rl(family):
    datasets = load_behaviour(family).datasets
    assert tuple(sorted(datasets)) == tuple(sorted(QUALITIES))
    returns = {quality: facts["mean_return"] for quality, facts in datasets.items()}
    assert 1 / 3 <= returns["medium"] / returns["expert"] <= 1 / 2
    assert returns["random"] < returns["medium-replay"] < returns["medium"] < returns["medium-expert"]
    for quality, facts in datasets.items():
        spec = resolve(f"sim/{family}-{quality}")
        score = normalized_score(facts["mean_return"], spec.reference_min, spec.reference_max)
        assert 100 * score == pytest.approx(facts["score"], abs=0.06)


def test_what_is_saved_reads_back_exactly(tmp_path):
    hopper = load_behaviour("hopper")
    rng = np.random.default_rng(0)
    tiny = rounded(LinearPolicy(rng.normal(size=(3, 11)) * 1e-7, np.array([0.0, 1e-5, 1e22]), 0.25))
    save_behaviour(replace(hopper, medium=tiny), tmp_path)
    again = load_behaviour("hopper", tmp_path)
    np.testing.assert_array_equal(again.medium.weight, tiny.weight)
    np.testing.assert_array_equal(again.medium.bias, tiny.bias)
    assert again.medium.noise_std == 0.25
    np.testing.assert_array_equal(again.replay[3].weight, hopper.replay[3].weight)
    assert again.datasets == hopper.datasets and again.iterations == hopper.iterations


def test_unknown_family_names_the_nearest():
    with pytest.raises(UsageError, match="hoper") as caught:
        load_behaviour("hoper")
    assert "hopper" in caught.value.hint
