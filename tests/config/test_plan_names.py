from typing import Any

import pytest

from seqrl_cli.config.owners import has_key, owners
from seqrl_cli.config.plan import PlanConfig, SearchConfig
from seqrl_cli.config.plan_names import plan_name
from seqrl_cli.planning.settings import SearchSettings


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "H15-B128-ctx5-s0"),
        ({"horizon": 5, "beam_width": 32}, "H5-B32-ctx5-s0"),
        ({"k_act": 1}, "H15-B128-ctx5-kact1-s0"),
        ({"cdf_act": None, "k_act": 40}, "H15-B128-ctx5-kact40-cdfactnone-s0"),
        ({"prefix_context": False, "window": "growing"}, "H15-B128-ctx5-prefixoff-growing-s0"),
        ({"percentile": 0.75}, "H15-B128-ctx5-p0.75-s0"),
        ({"episodes": 3, "envs": 2}, "H15-B128-ctx5-s0"),
        ({"context": "recurrent"}, "H15-B128-ctx5-carry-s0"),
        ({"context": "carry"}, "H15-B128-ctx5-carry-s0"),  # what earlier versions call it
    ],
)
def test_plan_folder_names_tell_settings_apart(settings, name):
    assert plan_name(PlanConfig(**settings), "gpt", 0) == name


@pytest.mark.parametrize(
    ("arch", "settings", "name"),
    [
        ("odt", {"target_return": 3600}, "RTG3600-ctx5-s0"),
        ("dt", {"target_return": 3222.4, "max_context_transitions": 20, "max_steps": 9}, "RTG3222.4-ctx20-steps9-s0"),
        ("odt", {"target_return": 12135.25}, "RTG12135.25-ctx5-s0"),
        ("odt", {"target_return": 12135.254}, "RTG12135.254-ctx5-s0"),
        ("odt", {"target_return": 1234567}, "RTG1234567-ctx5-s0"),
        ("bc", {}, "mode-s0"),
    ],
)
def test_plan_folders_of_policies_tell_the_return_asked_for(arch, settings, name):
    assert plan_name(PlanConfig(**settings), arch, 0) == name


ANOTHER: dict[str, Any] = {
    **{"episodes": 3, "envs": 2, "horizon": 7, "beam_width": 9, "n_expand": 3, "k_obs": None, "k_act": 4},
    **{"cdf_obs": 0.2, "cdf_act": None, "percentile": 0.75, "max_context_transitions": 8, "target_return": 900.0},
    **{"prefix_context": False, "plan_freq": 2, "discount": 0.95, "window": "growing", "context": "recurrent"},
    **{"precision": "bf16", "engine": "torch", "max_steps": 9, "decode": "argmax", "goals": "seen"},
    **{"elites": 2, "targets": "paper", "target_multiple": 2.0, "seconds_per_step": 0.05},
    **{"ensemble": "gpt-s1+gpt-s2"},
}
HARMLESS = {"episodes", "envs", "engine"}  # they change no episode
BLIND = {"max_context_transitions"}  # a bc sees one step whatever it is


@pytest.mark.parametrize("arch", ["gpt", "retnet", "dt", "odt", "bc", "mddt"])
def test_every_key_that_changes_an_episode_changes_the_name(arch):
    assert set(ANOTHER) == set(PlanConfig.model_fields), "a new key needs another value here"
    asked = {"target_return": 1200.0} if has_key(arch, "plan.target_return") else {}
    before = plan_name(PlanConfig(**asked), arch, 0)
    for key, value in ANOTHER.items():
        if has_key(arch, f"plan.{key}"):
            changes = plan_name(PlanConfig(**{**asked, key: value}), arch, 0) != before
            assert changes == (key not in HARMLESS | (BLIND if arch == "bc" else set())), key


def test_the_planner_has_the_keys_of_the_search_and_their_defaults():
    assert SearchSettings().model_dump() == SearchConfig().model_dump()
    assert set(SearchConfig.model_fields) == {
        key for key in PlanConfig.model_fields if owners(f"plan.{key}") == ("gpt", "retnet")
    } | {"max_context_transitions"}
