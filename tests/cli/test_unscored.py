"""An environment that nobody defined reference scores for, from its data to the last picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TINY_PLAN, TINY_TRAIN, Seqrl, invoke, succeed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swimmer(tmp_path_factory) -> Path:
    """A tiny Swimmer run with two planned episodes. Do not write here."""
    runs = tmp_path_factory.mktemp("swimmer") / "runs"
    succeed(runs, "collect", "Swimmer-v4", "--policy", "random", "-n", 400, "--name", "swims")
    succeed(runs, "train", "swims", *TINY_TRAIN)
    told = json.loads(succeed(runs, "plan", *TINY_PLAN, "--json").stdout)
    assert told["mean_score"] is None and told["mean_return"] != 0
    return runs


@pytest.fixture
def unscored(swimmer) -> Seqrl:
    return lambda *words: invoke(swimmer, *words)


def test_an_episode_without_a_score_is_drawn(unscored):
    drawn = unscored("render", "--json", "--view", "software", "--size", 96)
    assert drawn.exit_code == 0, drawn.output
    assert json.loads(drawn.stdout)["frames"] > 1


@pytest.mark.parametrize("style", ["terminal", "markdown", "latex", "csv"])
@pytest.mark.parametrize("by", ["method", "run"])
def test_the_table_shows_returns_without_scores(unscored, style, by):
    shown = unscored("table", "-f", style, "--by", by)
    assert shown.exit_code == 0, shown.output
    assert "nan" not in shown.stdout.lower() and ("None" not in shown.stdout)


def test_the_rows_have_returns_and_no_scores(unscored):
    result, behaviour = json.loads(unscored("table", "--json").stdout)["rows"][:2]
    for row in (result, behaviour):
        assert row["mean_score"] is None and row["score_low"] is None and row["mean_return"] != 0
    assert result["episodes"] == 2


def test_the_picture_shows_returns(unscored):
    told = unscored("plot", "--json")
    assert told.exit_code == 0, told.output
    panels = {panel["kind"]: panel for panel in json.loads(told.stdout)["panels"]}
    assert panels["score"]["x_label"] == "return" and len(panels["score"]["dots"][0]["values"]) == 2
