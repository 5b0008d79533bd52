"""What an earlier version wrote is read, shown, replayed and continued, with the numbers that that version had."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import invoke, succeed
from tests.golden.old_runs import GPT, GPT_PLAN, ODT, ODT_PLAN, copy_runs, go_on
from tests.golden.ours import assert_as_recorded, load_recorded

pytestmark = pytest.mark.slow

KINDS = {
    "local/tiny/gpt-s42": "finished",
    "local/flat/retnet-s42": "finished",
    "local/tiny/dt-s42": "finished",
    "local/tiny/odt-s42": "finished",
    "local/tiny/bc-s42": "finished",
    "local/tiny/gpt-half": "interrupted",
    "local/tiny/odt-half": "interrupted",
    "local/tiny/odt-s42-online": "finished",
    "hopper-medium-v2/trajectory-transformer": "finished",
}


@pytest.fixture
def runs(tmp_path):
    return copy_runs(tmp_path)


def test_unfinished_work_goes_on_to_the_same_numbers(runs):
    assert_as_recorded(go_on(runs), load_recorded("old-runs"))
    rows = json.loads(succeed(runs, "runs", "--json").stdout)["runs"]
    assert {row["status"] for row in rows} == {"finished"}


def test_every_run_is_listed_and_shown(runs):
    rows = json.loads(succeed(runs, "runs", "--json").stdout)["runs"]
    assert {row["run"]: row["status"] for row in rows} == KINDS
    for name in KINDS:
        shown = json.loads(succeed(runs, "runs", "show", name, "--json").stdout)
        assert f"{shown['run']['dataset']}/{shown['run']['name']}" == name


@pytest.mark.parametrize("words", [GPT, ODT])
def test_finished_training_is_known_again(runs, words):
    name = f"{words[3]}-s42"
    before = (runs / "local/tiny" / name / "metrics.jsonl").read_bytes()
    told = succeed(runs, *words)
    assert "already" in told.stderr
    assert (runs / "local/tiny" / name / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("words", [GPT_PLAN, ODT_PLAN])
def test_played_episodes_are_known_again(runs, words):
    assert "already has 1 episode" in succeed(runs, *words).stderr


@pytest.mark.parametrize("run", ["local/flat/retnet-s42", "local/tiny/dt-s42", "local/tiny/bc-s42", "odt-s42-online"])
def test_every_kind_plans(runs, run):
    words = ("--horizon", 2, "--beam-width", 4) if "retnet" in run else ()
    succeed(runs, "plan", run, *words, "--episodes", 1, "plan.max_steps=3", "--threads", 1)


def test_tokens_are_not_made_anew(runs):
    before = {path: path.read_bytes() for path in runs.rglob("tokens.h5")}
    for dataset, bins in (("local/tiny", "quantile"), ("local/flat", "uniform")):
        succeed(runs, "discretize", dataset, "data.bins=6", f"data.discretizer={bins}")
    assert {path: path.read_bytes() for path in runs.rglob("tokens.h5")} == before and len(before) == 3


@pytest.mark.parametrize("run", ["gpt-s42", "odt-s42"])
def test_an_episode_is_rendered(runs, tmp_path, run):
    picture = tmp_path / "a.gif"
    succeed(runs, "render", run, "--size", 64, "--view", "software", "-o", picture)
    assert picture.stat().st_size > 0


def test_results_are_compared_and_drawn(runs, tmp_path):
    rows = json.loads(succeed(runs, "table", "--json").stdout)["rows"]
    results = {row["method"]: row for row in rows if row["kind"] == "result"}
    assert {method.split()[0] for method in results} == {"gpt", "odt"}
    assert all(row["episodes"] == 1 and row["steps"] == 6 for row in results.values())
    panels = json.loads(succeed(runs, "plot", "odt-s42-online", "-o", tmp_path / "all.png", "--json").stdout)["panels"]
    assert {"loss", "online"} <= {panel["kind"] for panel in panels}
    assert (tmp_path / "all.png").exists()


def test_an_imported_run_is_exported_again(runs, tmp_path):
    output = tmp_path / "exported"
    succeed(runs, "export", "trajectory-transformer", "-o", output)
    assert sorted(path.name for path in output.iterdir()) == ["data_config.pkl", "model_config.pkl", "state_2.pt"]


def test_a_name_without_a_run_is_an_error(runs):
    assert invoke(runs, "plan", "gpt-s43").exit_code == 1
