"""Tables by task and by domain."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.statistics import RESAMPLES, interquartile_mean, summarize_tasks
from seqrl_cli.reports.table.task_formats import (
    print_task_table,
    task_csv,
    task_latex,
    task_markdown,
    task_records,
)
from seqrl_cli.reports.table.tasks import TaskTable, build_task_table
from tests.reports.episode_files import write_episode, write_run_record

pytestmark = pytest.mark.slow

HAMMER, CARTPOLE, PONG = "metaworld/hammer-v3", "dmc/cartpole-balance", "atari/Pong"
SETTINGS = {"decode": "mean", "max_context_transitions": 1}


def plan(root: Path, run: str, task: str, results: list[dict], setting: str = "ctx1") -> None:
    """Write the episodes of one task."""
    domain, _, name = task.partition("/")
    folder = root / "suite" / run / "plans" / f"{domain}_{name}-{setting}-s0"
    write_run_record(root / "suite" / run, arch="mddt", seed=int(run[-1]), datasets=("sim/dmc/cartpole-balance",))
    for number, result in enumerate(results):
        dataset = f"sim/{domain}/{name.removesuffix('-v3')}"
        facts = {"dataset": dataset, "env_id": task, "run": run, "arch": "mddt", "settings": SETTINGS, "recipe": "x"}
        write_episode(folder, number, **facts | {"seed": number, "score": None} | result)


@pytest.fixture
def root(tmp_path) -> Path:
    for seed, solved in ((1, [True, True, False]), (2, [True, False, False])):
        run = f"mddt-s{seed}"
        hammer = [{"success": one, "success_at_end": False, "return": 900.0 + seed} for one in solved]
        plan(tmp_path, run, HAMMER, hammer)
        plan(tmp_path, run, CARTPOLE, [{"score": 0.5 * seed, "return": 500.0 * seed}] * 2)
    plan(tmp_path, "mddt-s1", PONG, [{"score": 0.25, "return": -12.0}])
    return tmp_path


def table(root: Path, by: str) -> TaskTable:
    return build_task_table(read_results(root).episodes, by)


def test_rows_by_task_have_success_score_and_return(root):
    found = table(root, "task")
    hammer, cartpole, pong, mean = found.rows
    assert [row.name for row in found.rows] == [HAMMER, CARTPOLE, PONG, ""]
    assert (hammer.episodes, hammer.seeds, hammer.score) == (6, 2, None)
    assert hammer.success and hammer.success.mean == 50.0
    assert hammer.success_at_end and hammer.success_at_end.mean == 0.0
    assert cartpole.score and cartpole.score.mean == 75.0 and cartpole.success is None
    assert pong.score and pong.score.mean_interval is None  # a single episode
    assert mean.kind == "all" and mean.tasks == 3
    assert mean.success and mean.success.mean == 50.0
    assert mean.score and mean.score.mean == 50.0  # of two tasks, each with its own number of seeds


def test_rows_by_domain_count_tasks(root):
    found = table(root, "domain")
    assert [(row.name, row.tasks) for row in found.rows] == [("metaworld", 1), ("dmc", 1), ("atari", 1), ("", 3)]


def test_settings_of_one_model_are_rows_of_their_own(root):
    plan(root, "mddt-s1", HAMMER, [{"success": True, "success_at_end": True, "return": 1.0}], setting="ctx1-argmax")
    assert table(root, "task").methods == ["mddt ctx1", "mddt ctx1-argmax"]


def test_models_trained_on_other_suites_are_no_seeds_of_one_method(root):
    write_run_record(root / "suite/mddt-s2", arch="mddt", seed=2, datasets=("a",), suite="mt8")
    methods = {row.method for row in table(root, "task").rows if row.name == HAMMER}
    assert methods == {"mddt ctx1 after mt8", "mddt ctx1 after sim/dmc/cartpole-balance"}


def test_every_format_has_all_rows(root):
    found = table(root, "task")
    records = task_records(found)
    assert json.loads(json.dumps(records))[0]["mean_success"] == 50.0
    assert [row["name"] for row in csv.DictReader(io.StringIO(task_csv(found)))] == [HAMMER, CARTPOLE, PONG, ""]
    assert "| metaworld/hammer-v3 | mddt ctx1 | 6 | 50.0 |" in task_markdown(found)
    assert r"mean of 3 tasks" in task_latex(found) and r"50.0" in task_latex(found)
    text = io.StringIO()
    print_task_table(found, Console(width=60, file=text, force_terminal=False))
    assert "metaworld/hammer-v3" in text.getvalue() and "no room here for" in text.getvalue()
    assert max(map(len, text.getvalue().split("note:")[0].splitlines())) <= 60


def test_notes_say_what_scores_mean(root):
    notes = " ".join(table(root, "task").notes)
    assert "dmc are data-normalized" in notes and "atari are human-normalized" in notes


def test_means_over_tasks_equal_naive_ones():
    tasks = [{"a": [1.0, 3.0], "b": [5.0]}, {"a": [0.0, 2.0], "b": [8.0]}]
    found = summarize_tasks(tasks, np.random.default_rng(0))
    assert found.mean == np.mean([2.0, 5.0, 1.0, 8.0]) and found.count == 4
    assert found.iqm == interquartile_mean(np.array([2.0, 5.0, 1.0, 8.0]))


def test_seeds_that_play_all_tasks_are_drawn_together():
    """The interval is as wide as that of one task, not narrower by averaging, since tasks share their seeds."""
    together = [{"a": [0.0], "b": [1.0]} for _ in range(20)]
    apart = [{f"{n}a": [0.0], f"{n}b": [1.0]} for n in range(20)]
    low, high = summarize_tasks(together, np.random.default_rng(0)).mean_interval or (0, 0)
    assert (low, high) == (0.0, 1.0)
    low, high = summarize_tasks(apart, np.random.default_rng(0)).mean_interval or (0, 0)
    expected = np.percentile(np.random.default_rng(1).integers(2, size=(RESAMPLES, 40)).mean(axis=1), [2.5, 97.5])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.03)
