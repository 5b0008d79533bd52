"""Suites are made member by member, some at once; what fails or is cut leaves the rest."""

from __future__ import annotations

import json
import signal

import pytest

from tests.cli.conftest import invoke
from tests.processes import start, wait_for

pytestmark = pytest.mark.slow

GOOD = "sim/hopper-random"
SMALL = "data.transitions=300"


def test_all_members_are_made_in_parallel_and_kept_by_the_next_command(tmp_path):
    runs = tmp_path / "runs"
    first = invoke(runs, "download", "sim/hopper-random+sim/walker2d-random", SMALL, "--jobs", "2", "--json")
    assert first.exit_code == 0, first.stderr
    report = json.loads(first.stdout)
    assert len(report["new"]) == 2 and report["datasets"] == {"sim/hopper-random": 300, "sim/walker2d-random": 300}
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("dataset.h5")}
    again = json.loads(invoke(runs, "download", "sim/hopper-random+sim/walker2d-random", "--json").stdout)
    assert again["new"] == [] and not again["fresh"] and before == {path: path.stat().st_mtime_ns for path in before}


def test_members_are_those_that_are_made_alone(tmp_path):
    assert invoke(tmp_path / "one", "download", GOOD, SMALL).exit_code == 0
    both = invoke(tmp_path / "two", "download", f"{GOOD}+sim/walker2d-random", SMALL)
    assert both.exit_code == 0, both.stderr
    files = [(tmp_path / name / GOOD / "dataset.h5").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_a_member_that_fails_is_named_at_the_end_and_the_rest_stays(tmp_path):
    runs = tmp_path / "runs"
    failing = "hopper-medium-v2"
    result = invoke(runs, "download", f"{failing}+{GOOD}", SMALL, "--offline")
    assert result.exit_code == 1
    assert f"1 of 2 datasets of {failing}+{GOOD} failed: {failing}: " in result.stderr
    assert "the other one is there" in result.stderr
    assert (runs / GOOD / "dataset.h5").exists() and not (runs / failing / "dataset.h5").exists()


def test_an_interrupted_suite_is_continued(tmp_path):
    names = "+".join(f"sim/hopper-{quality}" for quality in ("random", "medium", "expert"))
    words = ("download", names, "data.transitions=3000", "--jobs", "1")
    runs = tmp_path / "runs"
    process = start(runs, *words)
    wait_for(process, runs / GOOD / "dataset.h5")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command makes the rest" in errors
    kept = (runs / GOOD / "dataset.h5").stat().st_mtime_ns
    assert not (runs / "sim/hopper-expert/dataset.h5").exists()
    rest = invoke(runs, "download", names, "data.transitions=3000", "--json")
    assert rest.exit_code == 0 and len(json.loads(rest.stdout)["new"]) == 2, rest.stderr
    assert (runs / GOOD / "dataset.h5").stat().st_mtime_ns == kept
