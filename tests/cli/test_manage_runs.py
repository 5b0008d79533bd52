"""``seqrl runs``: lists with one line per run, and runs that are deleted, renamed, archived and restored."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seqrl_cli.cli.app import app
from seqrl_cli.console import Console
from seqrl_cli.console.lists import shortened, spark
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.record import read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import SweepMember, SweepRecord, sweep_folder, write_sweep
from tests.cli.conftest import assert_refused, invoke, succeed
from tests.reports.continual_runs import add_run
from tests.reports.episode_files import write_episode, write_run_record
from tests.runs.records import make_run


@pytest.fixture
def root(tmp_path):
    """A parent with a plan, a run fine-tuned from it online, and a run of another dataset."""
    root = tmp_path / "runs"
    parent = root / "sim/hopper-medium/odt-s1"
    write_run_record(parent, seed=1)
    write_episode(parent / "plans/RTG3000-ctx5-s0", run="odt-s1", arch="odt")
    write_run_record(root / "sim/hopper-medium/odt-s1-online", parent="odt-s1", online_seed=1, seed=1)
    write_episode(
        root / "sim/hopper-medium/odt-s1-online/plans/RTG3000-ctx5-s0", run="odt-s1-online", arch="odt", parent="odt-s1"
    )
    make_run(root, "sim/walker2d-medium", "gpt-s42")
    return root


def listed(root, *words):
    return [run["run"] for run in json.loads(succeed(root, "runs", "list", *words, "--json").stdout)["runs"]]


@pytest.mark.parametrize("name", ["gpt-s42", "sim/walker2d-medium/gpt-s42"])
def test_a_deletion_that_was_killed_is_finished(root, name):
    left = root / "sim/walker2d-medium/.gpt-s42.old"
    (root / "sim/walker2d-medium/gpt-s42").rename(left)
    succeed(root, "runs", "delete", name, "--yes")
    assert not left.exists()


@pytest.mark.parametrize("pattern", ["*", "?pt-s42", "gpt-s4[2]"])
def test_a_pattern_is_no_name_of_what_is_left(root, pattern):
    left = root / "sim/walker2d-medium/.gpt-s42.old"
    (root / "sim/walker2d-medium/gpt-s42").rename(left)
    assert_refused(invoke(root, "runs", "delete", pattern, "--yes"), 1, "no run", "")
    assert left.exists()


def test_a_run_of_this_name_comes_before_the_rest_of_another(root):
    left = make_run(root, "sim/hopper-medium", "gpt-s42").parent.rename(root / "sim/hopper-medium/.gpt-s42.old")
    succeed(root, "runs", "delete", "gpt-s42", "--yes")
    assert left.exists() and not (root / "sim/walker2d-medium/gpt-s42").exists()


@pytest.mark.parametrize("words", [("delete", "--yes"), ("archive",), ("rename", "other")])
def test_a_run_whose_episodes_are_played_is_in_use(root, words):
    action, *rest = words
    plan = root / "sim/hopper-medium/odt-s1-online/plans/RTG3000-ctx5-s0"
    with locked(plan):
        refused = invoke(root, "runs", action, "odt-s1-online", *rest)
        assert_refused(refused, 1, f"{plan} is in use by another seqrl", "wait")
    assert plan.exists()


def test_deleting_asks_and_spares_parents(root):
    refused = invoke(root, "runs", "delete", "odt-s1-online")
    assert_refused(refused, 2, "without a question", "--yes")
    refused = invoke(root, "runs", "delete", "odt-s1", "--yes")
    assert_refused(refused, 1, "odt-s1-online was fine-tuned from sim/hopper-medium/odt-s1", "--force")
    refused = invoke(root, "runs", "delete", "sim/hopper-medium", "--yes")
    assert_refused(refused, 2, "is not the name of a run", "seqrl runs delete sim/hopper-medium/")
    assert len(listed(root)) == 3
    succeed(root, "runs", "delete", "odt-s1-online", "--yes")
    succeed(root, "runs", "delete", "odt-s1", "--yes")
    assert listed(root) == ["sim/walker2d-medium/gpt-s42"]
    assert not (root / "sim/hopper-medium/odt-s1").exists()


@pytest.mark.parametrize("words", [("delete", "best", "--yes"), ("archive", "best"), ("rename", "best", "other")])
def test_links_are_left_to_who_made_them(root, words):
    (root / "best").symlink_to("sim/walker2d-medium/gpt-s42")
    assert_refused(invoke(root, "runs", *words), 1, "best is a link to ", "remove the link by hand")
    assert (root / "best").is_symlink() and len(listed(root)) == 3


def test_a_run_is_the_same_run_by_any_path(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    absolute = root / "sim/hopper-medium/odt-s1"
    refused = invoke(Path(root.name), "runs", "delete", absolute, "--yes")
    assert_refused(refused, 1, "odt-s1-online was fine-tuned from sim/hopper-medium/odt-s1", "--force")
    succeed(Path(root.name), "runs", "rename", absolute, "other")
    assert read_record(root / "sim/hopper-medium/odt-s1-online/run.json").parent == "other"


@pytest.mark.slow
def test_a_question_without_an_answer_deletes_nothing(root):
    terminal, theirs = pty.openpty()
    words = [sys.executable, "-m", "seqrl_cli", "runs", "delete", "gpt-s42", "--runs-dir", str(root)]
    process = subprocess.Popen(words, stdin=theirs, stderr=theirs, env=os.environ | {"COLUMNS": "120"})
    os.close(theirs)
    try:
        told = os.read(terminal, 1000)
        while b"[y/N]" not in told:
            told += os.read(terminal, 1000)
        os.write(terminal, b"\x04")
        assert process.wait(60) == 130
        assert b"\r\nerror: interrupted\r\nhint: the question was not answered" in os.read(terminal, 1000)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert "sim/walker2d-medium/gpt-s42" in listed(root)


def test_a_run_in_use_is_left_alone(root):
    with locked(root / "sim/walker2d-medium/gpt-s42"):
        refused = invoke(root, "runs", "delete", "gpt-s42", "--yes")
    assert_refused(refused, 1, "is in use", "wait")
    assert "sim/walker2d-medium/gpt-s42" in listed(root)


def test_a_new_name_reaches_plans_and_children(root):
    before = read_record(root / "sim/hopper-medium/odt-s1/run.json").updated
    succeed(root, "runs", "rename", "odt-s1", "best-s1")
    folder = root / "sim/hopper-medium"
    assert read_record(folder / "best-s1/run.json").name == "best-s1"
    assert read_record(folder / "best-s1/run.json").updated == before
    assert read_record(folder / "odt-s1-online/run.json").parent == "best-s1"
    plan = json.loads((folder / "best-s1/plans/RTG3000-ctx5-s0/episode-000.json").read_text())
    online = json.loads((folder / "odt-s1-online/plans/RTG3000-ctx5-s0/episode-000.json").read_text())
    assert (plan["run"], online["run"], online["parent"]) == ("best-s1", "odt-s1-online", "best-s1")
    text = succeed(root, "table", "--by", "run").stdout
    assert "best-s1" in text and "− offline" in text
    assert_refused(invoke(root, "runs", "rename", "best-s1", "odt-s1-online"), 2, "already exists", "another name")
    assert_refused(invoke(root, "runs", "rename", "a", "b", "c"), 2, "takes RUN NAME, not a b c", "rename RUN NAME")
    assert_refused(invoke(root, "runs", "rename", "best-s1", "plans"), 2, "cannot be the name", "letters")


def test_an_archived_run_is_out_of_lists_and_tables_until_it_is_restored(root):
    succeed(root, "runs", "archive", "odt-s1-online")
    assert "sim/hopper-medium/odt-s1-online" not in listed(root)
    assert "online" not in succeed(root, "table").stdout
    refused = invoke(root, "runs", "restore", "odt")
    assert_refused(refused, 1, "no archived run", "sim/hopper-medium/odt-s1-online")
    assert_refused(invoke(root, "runs", "restore", "odt", "--dry-run"), 1, "no archived run", "odt-s1-online")
    assert_refused(invoke(root, "runs", "restore", "--dry-run"), 2, "no run given to restore", "restore RUN")
    assert "odt-s1-online" in succeed(root, "runs", "restore", "sim/hopper-medium/odt-s1-online", "--dry-run").stdout
    succeed(root, "runs", "restore", "sim/hopper-medium/odt-s1-online")
    assert len(listed(root)) == 3


def test_continual_runs_are_managed_as_others_are(root):
    add_run(root, "full", 1, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    add_run(root, "full", 2, [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
    make_run(root, "mt", "mddt-s42")
    succeed(root, "runs", "rename", "full-s1", "first")
    succeed(root, "runs", "archive", "two/first")
    assert continual(root) == {"two/full-s2": "mt/mddt-s42"}
    succeed(root, "runs", "restore", "two/first")
    assert "two/first" in continual(root)
    refused = invoke(root, "runs", "delete", "mddt-s42", "--yes")
    assert_refused(refused, 1, "two/full-s2 began with the weights of mt/mddt-s42", "--force")
    succeed(root, "runs", "rename", "mddt-s42", "pretrained")
    assert continual(root) == {"two/first": "mt/pretrained", "two/full-s2": "mt/pretrained"}
    succeed(root, "runs", "delete", "two/first", "--yes")
    assert list(continual(root)) == ["two/full-s2"]
    make_run(root, "mt", "full-s2")
    assert_refused(invoke(root, "runs", "delete", "full-s2", "--yes"), 1, "two/full-s2, mt/full-s2", "path")
    assert_refused(invoke(root, "runs", "two/full-s2"), 2, "is a run, not an action", "seqrl runs show two/full-s2")


def test_who_takes_a_sweeps_member_away_is_told_what_becomes_of_it(root):
    names = ["lr-s1", "lr-s2", "lr-s3"]
    for name in names:
        make_run(root, "sim/hopper-medium", name)
    steps = [("train", "sim/hopper-medium", "--name", name) for name in (*names, "lr-s4")]
    members = [SweepMember(run=f"sim/hopper-medium/{step[-1]}", values={}, steps=(step,)) for step in steps]
    folder = sweep_folder(RunStore(root), "lr")
    write_sweep(folder, SweepRecord(name="lr", seqrl="1", threads=1, axes={}, members=tuple(members)))
    for index, name in enumerate(names):
        folder.log(index, name).write_text("trained\n")
    told = succeed(root, "runs", "rename", "lr-s1", "best", "--json")
    assert "warning: sim/hopper-medium/lr-s1 is a member of the sweep lr, which will train it anew" in told.stderr
    assert json.loads(told.stdout)["sweeps"] == ["lr"]
    assert "runs restore sim/hopper-medium/lr-s2" in succeed(root, "runs", "archive", "lr-s2").stderr
    assert "lr" in succeed(root, "runs", "delete", "lr-s3", "--dry-run").stdout
    assert "the sweep lr" in succeed(root, "runs", "delete", "lr-s3", "--yes").stderr
    states = json.loads(succeed(root, "sweep", "status", "lr", "--json").stdout)["members"]
    assert [state["status"] for state in states] == ["missing", "missing", "missing", "waiting"]
    assert "because it was moved, deleted, or failed" in succeed(root, "sweep", "status", "lr").stderr
    succeed(root, "runs", "restore", "sim/hopper-medium/lr-s2")
    states = json.loads(succeed(root, "sweep", "status", "lr", "--json").stdout)["members"]
    assert [state["status"] for state in states] == ["missing", "foreign", "missing", "waiting"]


def continual(root) -> dict[str, str]:
    """The bases of the continual runs."""
    return {run["run"]: run["base"] for run in json.loads(succeed(root, "runs", "--json").stdout)["continual"]}


def test_filters_and_orders(root):
    assert listed(root, "hopper", "--sort", "name") == ["sim/hopper-medium/odt-s1", "sim/hopper-medium/odt-s1-online"]
    assert listed(root, "sim/*", "--arch", "gpt") == ["sim/walker2d-medium/gpt-s42"]
    assert_refused(invoke(root, "runs", "list", "nothing"), 2, "no run matches", "3 runs without")
    assert_refused(invoke(root, "runs", "list", "--sort", "size"), 2, "size", "name")
    assert_refused(invoke(root, "runs", "gpt-s42"), 2, "is a run, not an action", "seqrl runs show gpt-s42")
    assert_refused(invoke(root, "runs", "list", "a", "b"), 2, "one run at a time", "seqrl runs list")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lists_have_one_line_per_run_at_any_width(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    name = "hopper-medium-v2/faster-trajectory-transformer-of-someone"
    rows = [{"run": name, "status": "finished", "updates": 12000, "plans": 3, "updated": "2026-01-01 00:00"}] * 3
    stdout = io.StringIO()
    Console(stdout=stdout).show_list(list(rows[0]), rows)
    lines = [line for line in stdout.getvalue().splitlines() if "transformer" in line or "someone" in line]
    assert len(lines) == 3 and all(len(line) <= width for line in lines)
    assert ("12,000" in lines[0]) == (width > 40)


def test_a_pipe_gets_whole_names_and_all_columns(tmp_path):
    name = "a-method-with-a-long-name-and-many-settings-that-no-terminal-of-80-columns-has-room-for-s42"
    make_run(tmp_path, "sim/hopper-medium", name)
    write_episode(tmp_path / "sim/hopper-medium" / name / "plans/RTG3000-ctx5-s0", run=name, arch="odt")
    for words in (("runs",), ("table", "--by", "run")):
        piped = CliRunner(env={"COLUMNS": None, "SEQRL_RUNS": str(tmp_path)}).invoke(app, words)
        assert name in piped.stdout and "no room" not in piped.stdout and "shortened" not in piped.stdout


def test_names_are_shortened_in_their_middle():
    assert shortened("hopper-medium-v2/gpt-s42", 24) == "hopper-medium-v2/gpt-s42"
    short = shortened("hopper-medium-v2/gpt-s42", 13)
    assert len(short) == 13 and short.startswith("hopp") and short.endswith("/gpt-s42")


def test_watching_a_run_that_is_not_trained_shows_it_once(root):
    run = root / "sim/walker2d-medium/gpt-s42"
    lines = [{"step": step, "loss": 5 - step / 100, "elapsed": float(step)} for step in (100, 200, 300)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = succeed(root, "watch", "gpt-s42").stdout
    assert "update 300" in text and "█▅▁" in text.replace("▄", "▅")
    found = json.loads(succeed(root, "watch", "gpt-s42", "--json").stdout)
    assert (found["step"], found["last"]["loss"]) == (300, 2.0)
    record = read_record(run / "run.json")
    silent = {"status": "running", "updated": "2026-01-01T00:00:00+00:00"}
    write_record(run / "run.json", record.model_copy(update=silent), fresh=False)
    assert "silent" in succeed(root, "watch", "gpt-s42").stdout
    assert RunStore(root).find("gpt-s42").path == run


def test_many_values_share_blocks():
    assert spark([1.0, float("nan"), 2.0]) == "▁█" and spark([float("nan")]) == ""
    assert spark([1.0, 1.0]) == "▁▁" and spark([0.0, 7.0]) == "▁█"
    assert len(spark([float(value) for value in range(1000)])) == 48
