import pytest

from seqrl_cli.config.schema import PlanConfig
from seqrl_cli.workflows.plan_names import plan_name


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
