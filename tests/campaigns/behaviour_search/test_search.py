import itertools
import subprocess
import sys

import numpy as np
import pytest

from seqrl_cli.behaviour.library import load_behaviour
from seqrl_cli.errors import SeqrlError
from tests.campaigns.behaviour_search.iterates import load_iterates, save_iterates
from tests.campaigns.behaviour_search.recipes import RECIPES
from tests.campaigns.behaviour_search.search import SearchSettings, Whitening, search

pytestmark = pytest.mark.slow

FAST = SearchSettings("Hopper-v4", step_size=0.01, directions=4, top_directions=2, noise=0.025, alive_bonus=1.0)


def test_whitening_by_parts_equals_whitening_at_once():
    rng = np.random.default_rng(0)
    rows = rng.normal(3, 2, (100, 5))
    seen = Whitening(np.zeros(5), np.zeros(5))
    for part in np.split(rows, [1, 30, 77]):
        seen.merge(part.mean(axis=0), ((part - part.mean(axis=0)) ** 2).sum(axis=0), len(part))
    np.testing.assert_allclose(seen.mean, rows.mean(axis=0))
    np.testing.assert_allclose(seen.std(), rows.std(axis=0, ddof=1))


def test_search_does_not_depend_on_workers_and_learns():
    alone = list(itertools.islice(search(FAST, seed=0, workers=1), 13))
    together = list(itertools.islice(search(FAST, seed=0, workers=2), 4))
    for one, other in zip(alone, together, strict=False):
        np.testing.assert_array_equal(one.policy.weight, other.policy.weight)
        assert one.steps == other.steps
    assert [iterate.iteration for iterate in alone] == list(range(13))
    returns = [iterate.sampled_return for iterate in alone]
    assert np.mean(returns[-3:]) > 2 * np.mean(returns[1:4])


def test_the_shipped_hopper_is_what_its_recipe_finds():
    """The first shipped replay iterates, searched for again."""
    hopper = load_behaviour("hopper")
    recipe = RECIPES["hopper"]
    wanted = hopper.iterations["replay"][1]
    found = next(itertools.islice(search(recipe.settings, recipe.seed, workers=1), wanted, None))
    np.testing.assert_allclose(found.policy.weight, hopper.replay[1].weight, rtol=1e-4)


def test_iterates_read_back(tmp_path):
    iterates = list(itertools.islice(search(FAST, seed=0, workers=1), 3))
    save_iterates(tmp_path / "found.npz", iterates)
    again = load_iterates(tmp_path / "found.npz")
    assert len(again) == 3 and again.steps[-1] == iterates[-1].steps
    np.testing.assert_allclose(again.policy(2, 0.1).weight, iterates[2].policy.weight, rtol=1e-5)


def test_a_foreign_file_is_named(tmp_path):
    (tmp_path / "found.npz").write_text("nothing")
    for path in (tmp_path / "found.npz", tmp_path / "absent.npz"):
        with pytest.raises(SeqrlError, match=path.name):
            load_iterates(path)


def test_the_script_searches(tmp_path):
    command = [sys.executable, "-m", "tests.campaigns.behaviour_search", "search", "hopper"]
    command += ["--steps", "300", "--workers", "1"]
    done = subprocess.run([*command, "--output", tmp_path / "out.npz"], capture_output=True, text=True, check=True)
    assert "out.npz" in done.stderr and done.stdout == ""
    assert load_iterates(tmp_path / "out.npz").steps[-1] >= 300
