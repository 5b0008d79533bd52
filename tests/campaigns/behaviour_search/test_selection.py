from dataclasses import replace

import numpy as np
import pytest

from seqrl_cli.behaviour.policies import LinearPolicy
from seqrl_cli.errors import SeqrlError
from tests.campaigns.behaviour_search.iterates import Iterates
from tests.campaigns.behaviour_search.recipes import RECIPES
from tests.campaigns.behaviour_search.selection import choose

pytestmark = pytest.mark.slow

RECIPE = replace(RECIPES["hopper"], expert_noise=0.02, medium_noise=0.02, medium_iteration=None)


def pushing(hip, knee, foot):
    """A hopper that pushes with constant torques until it falls; the foot alone carries it some steps forward."""
    return LinearPolicy(np.zeros((3, 11)), np.array([hip, knee, foot]))


EVERY_JOINT, FOOT_A_LITTLE, FOOT_FIRMLY = pushing(0.1, 0.1, 0.1), pushing(0, 0, 0.2), pushing(0, 0, 0.6)


def iterates_of(policies):
    return Iterates(
        weight=np.array([policy.weight for policy in policies]),
        bias=np.array([policy.bias for policy in policies]),
        steps=np.arange(len(policies)) * 100,
        sampled_return=np.zeros(len(policies)),
    )


def test_the_best_is_expert_and_the_steadier_of_earlier_middling_ones_is_medium():
    lines = []
    falling = pushing(0.5, 0.5, 0.5)
    iterates = iterates_of([falling, FOOT_A_LITTLE, EVERY_JOINT, falling, FOOT_FIRMLY])
    chosen = choose("hopper", RECIPE, iterates, 1, lines.append)
    assert chosen.iterations == {"expert": 4, "medium": 2, "replay": [0, 1, 2]}
    np.testing.assert_array_equal(chosen.expert.bias, FOOT_FIRMLY.bias)
    assert chosen.expert.noise_std == RECIPE.expert_noise and chosen.medium.noise_std == RECIPE.medium_noise
    assert len(lines) == 2 and chosen.search["steps"] == 400


def test_a_recipe_may_name_its_medium():
    iterates = iterates_of([FOOT_A_LITTLE, EVERY_JOINT, FOOT_FIRMLY])
    chosen = choose("hopper", replace(RECIPE, medium_iteration=1), iterates, 1, lambda line: None)
    assert chosen.iterations == {"expert": 2, "medium": 1, "replay": [0, 1]}


def test_without_a_medium_policy_the_range_is_named():
    with pytest.raises(SeqrlError, match="35% to 48%"):
        choose("hopper", RECIPE, iterates_of([FOOT_FIRMLY] * 3), 1, lambda line: None)
