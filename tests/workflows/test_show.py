"""Looking at runs whose files are missing or damaged."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import append_line
from seqrl_cli.workflows.show.presets import show_presets
from seqrl_cli.workflows.show.runs import show_run, show_runs
from tests.runs.records import make_run


def look(show, *words: object) -> tuple[dict, str]:
    """What ``--json`` prints, and what is said beside it."""
    stdout, stderr = io.StringIO(), io.StringIO()
    show(*words, Console(as_json=True, stdout=stdout, stderr=stderr))
    return json.loads(stdout.getvalue()), stderr.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run that has its record and its configuration."""
    folder = make_run(tmp_path / "runs", "sim/hopper-medium", "gpt-s42").parent
    (folder / "config.yaml").write_text("dataset: sim/hopper-medium\n")
    return folder


def test_a_damaged_newest_run_is_named_with_the_one_that_is_shown(folder, tmp_path):
    make_run(tmp_path / "runs", "sim/hopper-medium", "newest").write_text("{")
    shown, said = look(show_run, RunStore(tmp_path / "runs"), None)
    assert shown["run"]["name"] == "gpt-s42"
    words = " ".join(said.split())
    assert "newest/run.json is damaged" in words and "latest readable run is sim/hopper-medium/gpt-s42" in words


def test_a_run_is_shown(folder, tmp_path):
    shown, said = look(show_run, RunStore(tmp_path / "runs"), "gpt-s42")
    assert shown["run"]["name"] == "gpt-s42"
    assert shown["config"] == {"dataset": "sim/hopper-medium"}
    assert (shown["last_metrics"], shown["plans"], said) == (None, [], "")


def test_a_run_outside_the_runs_directory_is_shown(folder, tmp_path):
    shown, _ = look(show_run, RunStore(tmp_path / "elsewhere"), str(folder))
    assert shown["run"]["name"] == "gpt-s42"


@pytest.mark.parametrize("content", [None, b"", b"a: [1", b"- 1\n", b"\xff\xfe"])
def test_a_configuration_that_cannot_be_read_is_warned_of(folder, tmp_path, content):
    (folder / "config.yaml").unlink()
    if content is not None:
        (folder / "config.yaml").write_bytes(content)
    shown, said = look(show_run, RunStore(tmp_path / "runs"), "gpt-s42")
    assert shown["run"]["name"] == "gpt-s42" and shown["config"] is None
    assert said.startswith("warning: ") and str(folder / "config.yaml") in said and said.count("\n") == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_record_is_named(folder, tmp_path, content):
    (folder / "run.json").write_text(content)
    with pytest.raises(SeqrlError, match="run.json is ") as caught:
        look(show_run, RunStore(tmp_path / "runs"), str(folder))
    assert str(folder) in caught.value.message and caught.value.hint


def test_a_bad_line_in_one_log_does_not_hide_the_runs(folder, tmp_path):
    make_run(tmp_path / "runs", "sim/hopper-medium", "gpt-s43")
    (folder / "metrics.jsonl").write_text('{"step": 1\n{"step": 2}\n')
    shown, _ = look(show_runs, RunStore(tmp_path / "runs"))
    assert [(run["run"], run["updates"]) for run in shown["runs"]] == [
        ("sim/hopper-medium/gpt-s42", None),
        ("sim/hopper-medium/gpt-s43", None),
    ]


def test_a_fine_tuned_run_shows_what_its_iterations_logged(folder, tmp_path):
    (folder / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | {"parent": "odt-s42"}))
    for iteration, nll in enumerate((None, -1.25)):
        values = {"iteration": iteration, "env_steps": 0, "nll": nll, "elapsed": 1.5}
        append_line(folder / "metrics.jsonl", 40 * iteration, values)
    shown, _ = look(show_runs, RunStore(tmp_path / "runs"))
    (run,) = shown["runs"]
    assert (run["updates"], run["held_out_loss"]) == (40, None)
    assert look(show_run, RunStore(tmp_path / "runs"), "gpt-s42")[0]["last_metrics"]["iteration"] == 1


def test_presets_tell_what_the_sizes_are():
    shown, said = look(show_presets, "gpt", None)
    assert shown["size"] == "paper" and shown["sizes"]["paper"] == {}
    assert shown["sizes"]["laptop"]["train.updates"] == 1600 and "size" not in shown["sizes"]["laptop"]
    small, _ = look(show_presets, "gpt", "laptop")
    changes = {row["preset"]: row["changes"] for row in small["presets"]}
    assert changes["walker2d-medium-replay-v2"]["train.n_epochs_ref"] == 80 and changes["base"] == {}
    assert "seqrl presets --size laptop" in said and "seqrl presets show sim/hopper-medium" in said
    with pytest.raises(SeqrlError, match="unknown size 'huge'"):
        look(show_presets, "gpt", "huge")


def test_lists_and_tables_load_no_torch():
    code = (
        "import sys, seqrl_cli.workflows.show.runs, seqrl_cli.workflows.report.table; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
