import pytest

from seqrl_cli.behaviour.library import list_families, load_behaviour
from tests.campaigns.behaviour_search.recipes import RECIPES


def test_every_family_that_ships_has_a_recipe():
    assert list_families() == sorted(RECIPES)


@pytest.mark.parametrize("family", sorted(RECIPES))
def test_shipped_policies_follow_their_recipe(family):
    behaviour, recipe = load_behaviour(family), RECIPES[family]
    assert behaviour.env_id == recipe.settings.env_id and behaviour.search["seed"] == recipe.seed
    assert behaviour.search["step_size"] == recipe.settings.step_size and behaviour.search["steps"] >= recipe.steps
