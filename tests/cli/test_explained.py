"""Keys are explained, and a dry run of plan says how long it takes; ``--checkpoint best`` plans with the best one."""

from __future__ import annotations

import json

import pytest

from seqrl_cli.config.explain import MATTER_MOST
from tests.cli.conftest import assert_refused, succeed


def test_presets_are_explained(tmp_path):
    text = succeed(tmp_path, "presets", "show", "hopper-medium-v2", "--explain").stdout
    assert "plan.horizon=15  [T (arXiv 2106.02039" in text and "transitions planned ahead; changes episodes" in text
    assert "policy.top_share" not in text
    keys = json.loads(succeed(tmp_path, "presets", "show", "base", "--arch", "dt", "--explain", "--json").stdout)[
        "keys"
    ]
    assert {"key", "value", "meaning", "symbol", "effect"} == set(keys[0])
    assert "policy.top_share" in {row["key"] for row in keys}


def test_help_names_the_keys_that_matter_most(tmp_path):
    text = succeed(tmp_path, "train", "--help").stdout
    assert all(key in text for key in MATTER_MOST) and "--explain" in text


@pytest.mark.slow
def test_a_dry_run_estimates_the_time_and_the_best_checkpoint_is_found(seqrl):
    facts = json.loads(seqrl("plan", "gpt-s42", "--episodes", "40", "--dry-run", "--json").stdout)
    assert facts["estimated time"].startswith("about ") and "episodes, if none ends before" in facts["estimated time"]
    best = json.loads(seqrl("plan", "gpt-s42", "--checkpoint", "best", "--dry-run", "--json").stdout)
    assert best["checkpoint"] > 0 and f"-step{best['checkpoint']}-s0" in best["to"]
    assert_refused(seqrl("plan", "gpt-s42", "--checkpoint", "finest"), 2, "no number of updates", "best")
