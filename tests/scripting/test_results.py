"""``results()``: flat rows that tables of data frames can be made of."""

from __future__ import annotations

import pytest

from seqrl_cli import results
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.plan.run import run as plan
from seqrl_cli.workflows.plan.setup import PlanRequest
from tests.cli.conftest import invoke
from tests.workflows.tiny import NAME


@pytest.fixture
def planned(runs) -> None:
    settings = {"plan.max_steps": 3, "plan.episodes": 2}
    for run in ("bc-s42", "dt-s42"):
        plan(PlanRequest(RunStore(runs), run, settings, threads=1), Console(quiet=True))


def test_there_is_a_row_per_episode_with_the_same_keys(planned):
    rows = results()
    assert [row["run"] for row in rows] == ["bc-s42", "bc-s42", "dt-s42", "dt-s42"]
    assert len({tuple(row) for row in rows}) == 1
    assert all(isinstance(value, str | int | float | bool | None) for row in rows for value in row.values())
    assert rows[0]["return"] < 0 and rows[0]["score"] is None and rows[0]["steps"] == 3


def test_rows_of_the_table_summarize_them(planned):
    kinds = [(row["kind"], row["episodes"]) for row in results(by="method")]
    assert kinds == [("result", 2), ("result", 2), ("reference", 5)]


def test_scores_are_those_of_own_references(planned, runs):
    assert invoke(runs, "download", NAME, "data.reference_min=-2000", "data.reference_max=0").exit_code == 0
    for row in results():
        assert row["score"] == pytest.approx(100 * (row["return"] + 2000) / 2000)
    for row in results(by="run"):
        assert row["mean_score"] == pytest.approx(100 * (row["mean_return"] + 2000) / 2000)


def test_sources_are_runs_datasets_and_folders(planned, runs):
    assert len(results("bc-s42")) == len(results(f"{NAME}/bc-s42")) == 2
    assert len(results(NAME)) == len(results(runs / NAME)) == 4
    with pytest.raises(SeqrlError, match="no run 'gone'"):
        results("gone")


def test_without_plans_there_are_no_rows(runs, tmp_path):
    assert results() == results(by="method") == results(runs_dir=tmp_path / "none") == []


def test_a_damaged_episode_is_left_out_with_a_warning(planned, runs):
    path = next(runs.rglob("episode-000.json"))
    path.write_text(path.read_text()[:-20])
    with pytest.warns(UserWarning, match="left out"):
        assert len(results()) == 3
