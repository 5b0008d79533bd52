"""Runs of many tasks: trained, planned and resumed from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqrl_cli.config.extras import is_installed
from seqrl_cli.data import task_memory
from tests.cli.conftest import Result, invoke

pytestmark = pytest.mark.slow

TINY = ("model.width=16", "model.n_layer=1", "train.updates=4", "train.batch_size=8", "train.checkpoint_every=2")
MIXTURE = "sim/hopper-medium+sim/walker2d-medium"
SHORT = ("plan.max_steps=5", "--episodes", "2")


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


def train(runs: Path, *words: str) -> Result:
    return invoke(runs, "train", MIXTURE, "data.transitions=300", "--arch", "mddt", *TINY, *words)


def test_tasks_of_other_sizes_are_trained_and_planned_together(runs):
    assert train(runs).exit_code == 0
    record = json.loads((runs / "sim/hopper-medium+walker2d-medium/mddt-s42/run.json").read_text())
    assert [task["env_id"] for task in record["tasks"]] == ["Hopper-v4", "Walker2d-v4"]
    planned = invoke(runs, "plan", "--json", *SHORT)
    report = json.loads(planned.stdout)
    assert [task["task"] for task in report["tasks"]] == ["Hopper-v4", "Walker2d-v4"]
    assert report["episodes"] == report["fresh"] == 4
    again = json.loads(invoke(runs, "plan", "--json", *SHORT).stdout)
    assert again["fresh"] == 0 and again["tasks"] == report["tasks"]
    parts = json.loads(invoke(runs, "plan", "--json", "--force", "--jobs", "3", *SHORT).stdout)
    assert parts["fresh"] == 4 and parts["tasks"] == report["tasks"]


def test_the_card_of_a_shared_model_repeats_the_plan_of_each_task(runs, tmp_path):
    assert train(runs).exit_code == 0 and invoke(runs, "plan", *SHORT).exit_code == 0
    assert invoke(runs, "export", "--format", "hub", "-o", tmp_path / "shared").exit_code == 0
    card = (tmp_path / "shared/README.md").read_text()
    plans = [line.split()[1:] for line in card.splitlines() if line.startswith("seqrl plan ")]
    assert [words[-1] for words in plans] == ["--tasks=Hopper-v4", "--tasks=Walker2d-v4"]
    for words in plans:
        again = json.loads(invoke(runs, *words, "--json").stdout)
        assert (again["fresh"], again["episodes"]) == (0, 2)
    assert 'mddt-s42", task="Hopper-v4")' in card


def test_one_task_is_played_as_it_is_among_others(runs):
    train(runs)
    both = json.loads(invoke(runs, "plan", "--json", *SHORT).stdout)["tasks"]
    alone = json.loads(invoke(runs, "plan", "--json", "--force", "--tasks", "Walker*", *SHORT).stdout)["tasks"]
    assert [task["task"] for task in alone] == ["Walker2d-v4"] and alone[0] == both[1]


def test_a_run_is_resumed_with_the_same_bits(runs):
    train(runs)
    run = runs / "sim/hopper-medium+walker2d-medium/mddt-s42"
    expected = (run / "checkpoints/00000004/model.safetensors").read_bytes()
    train(runs, "--name", "half", "train.updates=2", "tasks.curve=constant", "tasks.warmup_updates=0")
    whole = train(runs, "--name", "whole", "tasks.curve=constant", "tasks.warmup_updates=0")
    rest = train(runs, "--name", "half", "tasks.curve=constant", "tasks.warmup_updates=0")
    assert whole.exit_code == rest.exit_code == 0
    weights = [
        (run.parent / name / "checkpoints/00000004/model.safetensors").read_bytes() for name in ("half", "whole")
    ]
    assert weights[0] == weights[1] != expected


def test_tasks_that_do_not_exist_and_weights_of_no_domain_are_named(runs):
    wrong = train(runs, "tasks.weights={dmc: 2}")
    assert wrong.exit_code == 2 and "tasks.weights names 'dmc'" in wrong.stderr
    train(runs)
    missing = invoke(runs, "plan", "--tasks", "Hoper-v4")
    assert missing.exit_code == 2 and "did you mean 'Hopper-v4'?" in missing.stderr


def test_tasks_are_compared_drawn_and_plotted(runs):
    train(runs)
    assert invoke(runs, "plan", *SHORT).exit_code == 0
    assert invoke(runs, "plan", "plan.decode=argmax", "plan.target_multiple=2", *SHORT).exit_code == 0
    rows = json.loads(invoke(runs, "table", "--by", "task", "--json").stdout)["rows"]
    methods = ["mddt ctx1-steps5", "mddt ctx1-x2.0-argmax-steps5"]
    assert sorted({row["method"] for row in rows}) == methods
    assert [row["name"] for row in rows] == ["Hopper-v4"] * 2 + ["Walker2d-v4"] * 2 + [""] * 2
    by_domain = json.loads(invoke(runs, "table", "--by", "domain", "--json").stdout)["rows"]
    assert [(row["name"], row["tasks"]) for row in by_domain] == [("gymnasium", 2)] * 2
    plotted = invoke(runs, "plot", "--kind", "score", "--json")
    (panel,) = json.loads(plotted.stdout)["panels"]
    assert [small["title"] for small in panel["small"]] == ["Hopper-v4", "Walker2d-v4"]
    look = ("--view", "software", "--size", "64")
    drawn = json.loads(invoke(runs, "render", "--tasks", "*", "--json", *look).stdout)
    assert len(drawn["videos"]) == 2
    grid = json.loads(invoke(runs, "render", "--grid", "--json", *look).stdout)
    assert "grid-of-2-" in grid["path"] and grid["frames"] == 60
    same = json.loads(invoke(runs, "render", "--grid", "--dry-run", "--json").stdout)
    assert same["to"] == [grid["path"]]
    others = json.loads(invoke(runs, "render", "--grid", "--episode", "1", "--dry-run", "--json").stdout)
    assert others["to"] != [grid["path"]]


def test_wrong_tasks_targets_and_groupings_are_named(runs):
    train(runs)
    nothing = invoke(runs, "render", "--grid")
    assert nothing.exit_code == 1 and "has no planned episode of Hopper-v4" in nothing.stderr
    wrong = invoke(runs, "render", "--tasks", "Hoper-v4")
    assert wrong.exit_code == 2 and "did you mean 'Hopper-v4'?" in wrong.stderr
    paper = invoke(runs, "plan", "plan.targets=paper", *SHORT)
    assert paper.exit_code == 1 and "no paper states a target return for Hopper-v4" in paper.stderr
    inferred = invoke(runs, "plan", "plan.targets=infer", *SHORT)
    assert inferred.exit_code == 1 and "needs a model that predicts returns-to-go" in inferred.stderr
    published = invoke(runs, "table", "--by", "task", "--published")
    assert published.exit_code == 2 and "published results are by dataset" in published.stderr
    assert invoke(runs, "table", "--by", "taks").exit_code == 2


def test_options_for_tasks_are_refused_by_other_runs(runs):
    tiny = ("model.width=16", "model.n_layer=1", "train.updates=1", "train.batch_size=8")
    assert invoke(runs, "train", "sim/hopper-medium", "data.transitions=300", "--arch", "bc", *tiny).exit_code == 0
    planned = invoke(runs, "plan", "--tasks", "Hopper-v4", *SHORT)
    assert planned.exit_code == 2 and "--tasks is for runs of many tasks" in planned.stderr
    drawn = invoke(runs, "render", "--tasks", "Hopper-v4")
    assert drawn.exit_code == 2 and "--tasks is for runs of many tasks" in drawn.stderr


def test_tasks_domains_and_suites_are_described(runs):
    task = json.loads(invoke(runs, "info", "metaworld/hammer-v3", "--json").stdout)
    assert task["dataset"] == "sim/metaworld/hammer" and "cw10" in task["suites"]
    assert json.loads(invoke(runs, "info", "procgen", "--json").stdout)["tasks"] == 16
    suite = json.loads(invoke(runs, "info", "dmc4", "--json").stdout)
    assert suite["datasets"] == 4 and suite["domains"] == {"dmc": 4} and suite["here"] == []
    shown = invoke(runs, "presets", "show", "mt8+dmc4", "--arch", "mddt", "--json")
    assert json.loads(shown.stdout)["dataset"] == "mt8+dmc4"


def test_discrete_actions_and_images_are_played(runs):
    assert invoke(runs, "collect", "CartPole-v1", "--policy", "random", "-n", "200").exit_code == 0
    done = invoke(runs, "train", "collected/cartpole-v1-random", "--arch", "mddt", *TINY)
    assert done.exit_code == 0, done.stderr
    report = json.loads(invoke(runs, "plan", "--json", *SHORT).stdout)
    assert report["tasks"][0]["task"] == "CartPole-v1"


def test_a_suite_names_its_tasks(runs):
    listed = invoke(runs, "download", "--list", "metaworld")
    assert listed.exit_code == 0 and "sim/metaworld/hammer" in listed.stdout
    wrong = invoke(runs, "train", "mt8+dmc5", "--arch", "mddt")
    assert wrong.exit_code == 2 and "dmc5" in wrong.stderr


@pytest.mark.skipif(not is_installed("metaworld"), reason="metaworld is not installed")
def test_a_task_of_metaworld_from_collecting_to_a_table(runs):
    assert invoke(runs, "collect", "metaworld/reach-v3", "--policy", "scripted", "-n", "600").exit_code == 0
    dataset = "collected/metaworld/reach-v3-scripted"
    assert invoke(runs, "train", dataset, "--arch", "mddt", *TINY).exit_code == 0
    report = json.loads(invoke(runs, "plan", "--json", *SHORT).stdout)
    assert 0 <= report["mean_success"] <= 1
    table = invoke(runs, "table", "--json")
    assert table.exit_code == 0 and json.loads(table.stdout)["rows"][0]["dataset"] == dataset
    drawn = invoke(runs, "render", "--every", "3")  # its goal is a held-out one, too
    assert drawn.exit_code == 0, drawn.stderr


@pytest.mark.skipif(not is_installed("atari"), reason="ale-py is not installed")
def test_images_of_a_game(runs):
    done = invoke(
        runs, "train", "sim/atari/freeway", "data.transitions=60", "--arch", "mddt", *TINY, "train.batch_size=2"
    )
    assert done.exit_code == 0, done.stderr
    assert invoke(runs, "plan", *SHORT).exit_code == 0
    assert invoke(runs, "render").exit_code == 0


def test_a_model_that_predicts_returns_infers_its_targets(runs):
    assert train(runs, "train.objective=actions+returns").exit_code == 0
    inferred = json.loads(invoke(runs, "plan", "--json", "plan.targets=infer", *SHORT).stdout)
    asked = json.loads(invoke(runs, "plan", "--json", *SHORT).stdout)
    assert [task["target_return"] for task in inferred["tasks"]] == [None, None]
    assert all(task["target_return"] > 0 for task in asked["tasks"])
    assert [task["mean_return"] for task in inferred["tasks"]] != [task["mean_return"] for task in asked["tasks"]]
    again = json.loads(invoke(runs, "plan", "--json", "--force", "plan.targets=infer", *SHORT).stdout)
    assert again["tasks"] == inferred["tasks"]


def test_data_on_the_disk_train_the_same_model_as_data_in_memory(runs, monkeypatch):
    monkeypatch.setattr(task_memory, "MIN_PAGES", 4096)  # a limit below 17 MB would be refused
    whole = train(runs, "--name", "whole")
    limit = ("--max-memory", "12KiB")  # less than the data of either task has
    planned = " ".join(train(runs, "--dry-run", "--name", "mapped", *limit).stdout.split())
    assert "2 of 2 tasks read from the disk" in planned
    mapped = train(runs, "--name", "mapped", *limit)
    assert mapped.exit_code == whole.exit_code == 0, mapped.stderr
    folder = runs / "sim/hopper-medium+walker2d-medium"
    one, two = ((folder / name / "checkpoints/00000004/model.safetensors").read_bytes() for name in ("mapped", "whole"))
    assert one == two


def test_suites_joined_are_listed_before_they_are_here(runs):
    listed = invoke(runs, "info", "cw3+mt8+sim/hopper-medium", "--json")
    named = json.loads(listed.stdout)["names"]
    assert len(named) == len(set(named)) and named[-1] == "sim/hopper-medium" and len(named) > 8
    unknown = invoke(runs, "info", "mt8+nosuch")
    assert unknown.exit_code == 2 and "unknown dataset 'nosuch'" in unknown.stderr
