"""``seqrl demo continual`` on two small tasks instead of Meta-World's: its steps, again, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqrl_cli.workflows.continual import setup as learning
from seqrl_cli.workflows.demo import continual, continual_dry_run
from tests.cli.conftest import assert_refused, invoke, succeed

pytestmark = pytest.mark.slow

PRETRAINING, TASKS = "sim/hopper-medium+sim/walker2d-medium", "sim/hopper-medium-replay+sim/walker2d-medium-replay"


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A run directory in which the demo's tasks are small ones that need no package of the domains."""
    runs = tmp_path / "runs"
    for name in (*PRETRAINING.split("+"), *TASKS.split("+")):
        succeed(runs, "download", name, "data.transitions=300")
    for module in (continual, continual_dry_run):
        monkeypatch.setattr(module, "PRETRAINING", PRETRAINING)
        monkeypatch.setattr(module, "TASKS", TASKS)
        monkeypatch.setattr(module, "BACKBONE_UPDATES", 4)
        monkeypatch.setattr(module, "UPDATES", 3)
        monkeypatch.setattr(module, "EPISODES", 1)
    settings = learning._settings
    monkeypatch.setattr(
        learning, "_settings", lambda keys: settings(keys).model_copy(update={"max_steps": 5, "batch_size": 8})
    )
    return runs


def test_it_ends_with_the_matrices_and_a_heat_map_and_is_not_done_again(small):
    told = succeed(small, "demo", "continual")
    shown = " ".join(told.stdout.split())
    assert all(f"{method}: average" in shown for method in ("full", "l2m", "hide-lora"))
    assert "after hopper-medium-replay" in shown and "[4/4] table and heat map" in told.stderr
    picture = Path(told.stdout.rpartition("heat map: ")[2].strip())
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = json.loads(succeed(small, "demo", "continual", "--json").stdout)
    assert {name: report["fresh"] for name, report in again["methods"].items()} == dict.fromkeys(again["methods"], 0)
    assert not again["train"]["fresh"] and Path(again["heat_map"]) == picture


def test_its_dry_run_estimates_and_writes_nothing(small):
    before = sorted(small.rglob("*"))
    facts = json.loads(succeed(small, "demo", "continual", "--dry-run", "--json").stdout)
    assert facts["datasets_to_simulate"] == 0 and facts["seconds"] > 0 and "to train" in facts["estimated_time"]
    assert sorted(small.rglob("*")) == before


def test_another_backbone_in_its_place_is_told(small):
    tiny = ("--arch", "mddt", "model.width=16", "model.n_layer=1", "train.updates=2")
    succeed(small, "train", PRETRAINING, *tiny)
    refused = invoke(small, "demo", "continual")
    assert_refused(refused, 1, "mddt-s42", "seqrl demo continual --runs-dir FOLDER")
