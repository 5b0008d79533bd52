"""Tables and figures of continual runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from seqrl_cli.continual.run_files import ContinualFolder, ContinualRecord, find_runs
from seqrl_cli.reports.continual_sources import continual_folders
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import append_line
from seqrl_cli.workflows.continual.report import make_report
from tests.cli.conftest import assert_refused, invoke, succeed
from tests.reports.continual_runs import add_run
from tests.reports.episode_files import write_episode

pytestmark = pytest.mark.slow


@pytest.fixture
def runs(tmp_path) -> Path:
    runs = tmp_path / "runs"
    add_run(runs, "full", 1, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    add_run(runs, "full", 2, [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
    add_run(runs, "hide-lora", 1, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    add_run(runs, "hide-lora", 1, [[0.0, 0.0], [1.0, 0.0], [1.0, 0.5]], task_id="oracle")
    return runs


def test_rows_are_methods_and_seeds_are_joined(runs):
    rows = json.loads(succeed(runs, "table", "two", "--by", "task", "--json").stdout)["rows"]
    assert [row["method"] for row in rows] == ["full", "hide-lora", "hide-lora task_id=oracle"]
    full, inferred, _ = rows
    assert (full["seeds"], full["average"], full["forgetting"]) == (2, 62.5, 75.0)
    assert full["forgetting_low"] == 50.0 and full["forgetting_high"] == 100.0
    assert full["forgetting_at_end"] == 37.5 and full["trainable"] == 100
    assert (inferred["average"], inferred["average_low"], inferred["retention"]) == (100.0, None, 50.0)
    assert (inferred["inference"], inferred["inference_first"], inferred["inference_episodes"]) == (75.0, 100.0, 50.0)


def test_a_base_that_was_trained_again_under_its_name_is_another(tmp_path):
    add_run(tmp_path, "full", 1, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], weights="a" * 64)
    add_run(tmp_path, "full", 2, [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]], weights="b" * 64)
    rows = json.loads(succeed(tmp_path, "table", "two", "--json").stdout)["rows"]
    assert [(row["method"], row["seeds"]) for row in rows] == [
        ("full from mt/mddt-s42 (aaaaaaaa)", 1),
        ("full from mt/mddt-s42 (bbbbbbbb)", 1),
    ]


def test_tasks_whose_names_end_alike_keep_their_whole_names(tmp_path):
    names = ("sim/metaworld/hammer", "l2m/metaworld/hammer")
    add_run(tmp_path, "full", 1, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], datasets=names)
    (row,) = json.loads(succeed(tmp_path, "table", "two", "--by", "task", "--json").stdout)["rows"]
    assert [task["task"] for task in row["tasks"]] == list(names)


def test_runs_need_no_name_and_have_one(runs, tmp_path):
    assert len(json.loads(succeed(runs, "table", "--json").stdout)["rows"]) == 3
    assert len(json.loads(succeed(runs, "table", "--by", "task", "--json").stdout)["rows"][0]["tasks"]) == 2
    (row,) = json.loads(succeed(runs, "table", "full-s1", "--json").stdout)["rows"]
    assert (row["method"], row["seeds"], row["retention_before"]) == ("full", 1, 50.0)
    assert "50.0 of 50.0" in succeed(runs, "table", "full-s1").stdout
    assert succeed(runs, "plot", "full-s1").stdout.strip() == str(runs / "two/full-s1/plots/continual.png")
    assert succeed(runs, "plot").stdout.strip() == str(runs / "plots/continual.png")
    assert_refused(invoke(runs, "table", "ful-s1"), 1, "no run 'ful-s1'", "seqrl runs")


def test_a_report_has_them(runs, tmp_path):
    said = json.loads(succeed(runs, "report", "-o", tmp_path / "a.html", "--json").stdout)
    assert (len(said["continual"]), said["runs"]) == (4, []) and said["figures"] > 0
    text = (tmp_path / "a.html").read_text()
    assert '<section id="continual">' in text and "50.0 of 50.0" in text and "hide-lora task_id=oracle" in text
    said = json.loads(succeed(runs, "report", "full-s1", "-o", tmp_path / "a.html", "--json").stdout)
    assert said["continual"] == ["two/full-s1"]


def test_tables_of_plans_say_that_continual_runs_have_their_own(runs):
    write_episode(runs / "sim/hopper-medium/odt-s1/plans/RTG3000-ctx5-s0", run="odt-s1", arch="odt")
    told = succeed(runs, "table")
    assert "odt" in told.stdout and "left out: 4 continual runs" in told.stderr and "seqrl table two" in told.stderr


def test_runs_that_have_not_learned_all_are_said_to_go_on(tmp_path):
    add_run(tmp_path, "l2m", 1, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], finished=False)
    for words in (("table",), ("table", "l2m-s1"), ("report", "two"), ("plot", "two")):
        assert_refused(invoke(tmp_path, *words), 1, "has learned all of its tasks yet", "goes on")
    assert "left out" not in succeed(tmp_path, "table", "--published").stderr


def test_tasks_one_by_one(runs):
    rows = json.loads(succeed(runs, "table", "two", "--by", "task", "--json").stdout)["rows"]
    first, second = rows[0]["tasks"]
    assert (first["task"], first["before"], first["learned"], first["end"]) == ("A-v0", 0.0, 100.0, 25.0)
    assert first["forgetting"] == 75.0 and second["forgetting"] == 0.0
    assert (first["inferred_first"], first["inferred"], first["inferred_episodes"]) == (100.0, 75.0, 50.0)
    shown = succeed(runs, "table", "two", "--by", "task").stdout
    assert "first step" in shown and "A-v0" in shown
    assert succeed(runs, "table", "two", "--by", "task", "-f", "markdown").stdout.startswith("| method | task |")
    table = list(csv.DictReader(io.StringIO(succeed(runs, "table", "two", "--by", "task", "-f", "csv").stdout)))
    assert len(table) == 6 and table[0]["end"] == "25.0"
    assert r"\begin{tabular}{ll" in succeed(runs, "table", "two", "--by", "task", "-f", "latex").stdout


def test_the_table_in_all_formats(runs):
    shown = succeed(runs, "table", "two").stdout
    assert "forgetting" in shown and "full" in shown and "note:" in shown
    assert succeed(runs, "table", "two", "-f", "markdown").stdout.startswith("| Method | average |")
    assert r"\begin{tabular}" in succeed(runs, "table", "two", "-f", "latex").stdout
    rows = list(csv.DictReader(io.StringIO(succeed(runs, "table", "two", "-f", "csv").stdout)))
    assert [row["seeds"] for row in rows] == ["2", "1", "1"]


def test_methods_whose_episodes_were_cut_say_so(tmp_path):
    matrix = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    add_run(tmp_path, "lora", 1, matrix)
    add_run(tmp_path, "lora", 1, matrix, max_steps=20)
    add_run(tmp_path, "l2m", 1, matrix, max_steps=20)
    for words in ((), ("-f", "markdown"), ("-f", "latex"), ("--by", "task")):
        shown = succeed(tmp_path, "table", "two", *words).stdout
        assert "lora, cut after 20 steps" in shown and "l2m, cut after 20 steps" in shown
        assert "do not compare" in " ".join(shown.split()) and "max_steps=20" not in shown
    rows = json.loads(succeed(tmp_path, "table", "two", "--by", "task", "--json").stdout)["rows"]
    assert [(row["method"], row["cut_after"]) for row in rows] == [("lora", None), ("lora", 20), ("l2m", 20)]
    assert [len(row["tasks"]) for row in rows] == [2, 2, 2]
    panels = json.loads(succeed(tmp_path, "plot", "two", "-k", "matrix", "--json").stdout)["panels"]
    assert [panel["title"] for panel in panels][:2] == ["lora: success", "lora, cut after 20 steps: success"]


def test_values_that_are_returns_are_called_returns(tmp_path):
    add_run(tmp_path, "lora", 1, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], reports_success=False)
    for words, unit in (((), "of returns, because no task reports success"), (("--by", "task"), "end: returns before")):
        shown = " ".join(succeed(tmp_path, "table", "two", *words).stdout.split())
        assert unit in shown and "success in percent" not in shown and "in percent; at end" not in shown
    text = make_report(*only_run(tmp_path), fresh=0).text()
    assert "lora: average -5.0, forgetting -10.0" in text and "pretraining: 0.50 now, 0.50 before" in text


def only_run(runs: Path) -> tuple[ContinualFolder, ContinualRecord]:
    """The only continual run below a folder, which has learned all of its tasks."""
    ((folder, record),) = find_runs(RunStore(runs))[0]
    for stage in folder.stages(record):
        stage.learned.touch()
    return folder, record


def test_unfinished_runs_are_left_out(runs):
    add_run(runs, "l2m", 1, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], finished=False)
    told = succeed(runs, "table", "two", "--json")
    assert "l2m-s1 has not learned all of its tasks yet" in told.stderr
    assert len(json.loads(told.stdout)["rows"]) == 3


def test_figures_of_each_kind(runs):
    for kind in ("matrix", "curve", "forgetting", "keys"):
        drawn = json.loads(succeed(runs, "plot", "two", "-k", kind, "--json").stdout)
        assert Path(drawn["path"]) == runs / "two/plots" / f"{kind}.png" and Path(drawn["path"]).exists()
        assert {panel["kind"] for panel in drawn["panels"]} == {kind}
    matrix = json.loads(succeed(runs, "plot", "two", "-k", "matrix", "--json").stdout)
    assert not matrix["fresh"]  # it exists already
    assert matrix["panels"][0]["heat"]["values"] == [[0.0, 0.0], [1.0, 0.0], [0.25, 1.0]]
    assert json.loads(succeed(runs, "plot", "two", "--json").stdout)["path"].endswith("continual.png")


def test_wrong_figures_are_refused(runs):
    mixed = invoke(runs, "plot", "two", "-k", "matrix", "-k", "loss")
    assert_refused(mixed, 2, "are figures of their own", "one by one")
    assert_refused(invoke(runs, "plot", "tow", "-k", "matrix"), 1, "no folder tow", "seqrl runs")
    assert_refused(invoke(runs, "plot", "two", "-k", "matrxi"), 2, "matrxi", "did you mean 'matrix'?")


def test_transfer_is_against_each_task_learned_alone(tmp_path):
    runs = tmp_path / "runs"
    matrix = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    for method, heights in (("full", (0.5, 1.0)), ("single", (0.5, 0.0))):
        add_run(runs, method, 1, matrix, eval_every=200)
        for task, height in enumerate(heights):
            stage = sorted((runs / "two" / f"{method}-s1200" / "stages").iterdir())[task + 1]
            for step, success in ((200, height), (400, 1.0)):
                append_line(stage / "metrics.jsonl", step, {"evaluation_episodes": 2, "evaluation_success": success})
    rows = {row["method"]: row for row in json.loads(succeed(runs, "table", "two", "--json").stdout)["rows"]}
    areas = [(0.5 / 2 + (0.5 + 1) / 2) / 2, (1.0 / 2 + 1.0) / 2]  # both curves begin at 0
    alone = [areas[0], (0.0 + 1.0 / 2) / 2]
    expected = 100 * sum((one - other) / (1 - other) for one, other in zip(areas, alone, strict=True)) / 2
    assert rows["full"]["transfer"] == pytest.approx(expected)
    assert rows["single"]["transfer"] == 0.0


@pytest.mark.parametrize("name", ["two", "absolute", "dotted"])
def test_a_folder_is_found_once_however_it_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    add_run(tmp_path, "full", 1, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    names = {"absolute": str(tmp_path / "two"), "dotted": "./two"}
    assert len(continual_folders(RunStore(Path()), names.get(name, name))) == 1
