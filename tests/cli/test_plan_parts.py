"""``seqrl plan --jobs``: several processes share the episodes of one plan, which stay the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cli.conftest import TINY_PLAN, assert_refused
from tests.cli.sweeps import DATASET

EPISODES = 5
PLAN = [
    str(EPISODES) if before == "--episodes" else word for before, word in zip(("", *TINY_PLAN), TINY_PLAN, strict=False)
]


def episodes(runs: Path) -> list[dict]:
    """All that was played: arrays, and results without their times."""
    found = []
    for path in sorted((runs / DATASET).glob("gpt-s42/plans/*/episode-*.json")):
        values = json.loads(path.read_text())
        with h5py.File(path.with_suffix(".h5")) as file:
            arrays = {name: np.asarray(file[name]) for name in ("actions", "rewards", "qpos")}
        found.append({**arrays, **{name: values[name] for name in ("return", "episode", "settings")}})
    return found


def assert_same(mine: list[dict], others: list[dict]) -> None:
    assert len(mine) == len(others) == EPISODES
    for one, other in zip(mine, others, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_parts_play_the_same_episodes(seqrl, runs, monkeypatch):
    alone = seqrl("plan", *PLAN, "--json")
    assert alone.exit_code == 0, alone.output
    expected = episodes(runs)
    plan = next((runs / DATASET).glob("gpt-s42/plans/*"))
    shutil.rmtree(plan)
    done = seqrl("plan", *PLAN, "--jobs", "2", "--json")
    assert done.exit_code == 0 and "in 2 parts" in done.stderr, done.output
    assert_same(episodes(runs), expected)
    same = ("mean_return", "mean_steps", "episodes", "fresh", "folder")
    assert [json.loads(done.stdout)[name] for name in same] == [json.loads(alone.stdout)[name] for name in same[:3]] + [
        EPISODES,
        json.loads(alone.stdout)["folder"],
    ]
    (plan / "episode-003.json").unlink()
    monkeypatch.chdir(runs)
    resumed = seqrl("plan", f"{DATASET}/gpt-s42", *PLAN, "--jobs", "2")
    assert resumed.exit_code == 0 and "planning 1 episode" in resumed.stderr and "in 1 part" in resumed.stderr
    assert seqrl("plan", *PLAN, "--jobs", "2", "--force").exit_code == 0
    assert_same(episodes(runs), expected)
    assert {path.name for path in plan.iterdir() if path.name[0] != "."} == {
        f"episode-{number:03d}.{suffix}" for number in range(EPISODES) for suffix in ("json", "h5")
    }


def test_a_dry_run_names_the_processes(seqrl, runs):
    shutil.rmtree(runs / DATASET / "gpt-s42" / "plans")
    told = seqrl("plan", *PLAN, "--jobs", "2", "--dry-run", "--json")
    assert told.exit_code == 0, told.output
    facts = json.loads(told.stdout)
    assert facts["processes"] == 2 and "for 5 episodes" in facts["estimated_time"]


@pytest.mark.slow
def test_processes_on_one_machine_share_its_memory(seqrl, runs, monkeypatch):
    monkeypatch.setattr("seqrl_cli.workflows.plan.parts.available_memory", lambda device: 4 * 2**20)
    failed = seqrl("plan", "--jobs", "2", "--horizon", "2", "--beam-width", "20000", "--episodes", "2")
    assert failed.exit_code != 0
    (log, _) = sorted((runs / DATASET).glob("gpt-s42/plans/*/logs/*.log"))
    assert "only 1 MiB may be used" in log.read_text()


@pytest.mark.slow
def test_a_part_that_fails_leaves_the_old_episodes(seqrl, runs):
    before = {path: path.read_bytes() for path in (runs / DATASET).glob("gpt-s42/plans/*/episode-*")}
    failed = seqrl("plan", *TINY_PLAN, "--jobs", "2", "--force", "--max-memory", "1KiB")
    assert failed.exit_code != 0 and "parts failed" in failed.stderr
    assert "the earlier episodes were kept unchanged; the same command starts over" in failed.stderr
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("named", [(), ("--checkpoint", "best")], ids=["newest", "best"])
def test_a_part_plays_the_checkpoint_of_the_whole_plan(seqrl, runs, named):
    shutil.rmtree(runs / DATASET / "gpt-s42" / "plans")
    played = seqrl("plan", *TINY_PLAN, *named, "--part", "1/2@2")
    assert played.exit_code == 0, played.output
    (path,) = runs.rglob("episode-*.json")
    assert path.name == "episode-001.json" and json.loads(path.read_text())["checkpoint_step"] == 2
    assert ("step2" in path.parent.name) == bool(named)


def test_what_is_refused(seqrl):
    assert_refused(seqrl("plan", "--on", "moon"), 2, "unknown place 'moon'", "ray")
    assert_refused(seqrl("plan", "--on", "slurm"), 2, "unknown place 'slurm'", "local")
    assert_refused(seqrl("plan", "--cpus", "2"), 2, "--cpus is not for --on local", "ray")
    assert_refused(seqrl("plan", "--part", "2/2@4"), 2, "--part is '2/2@4'", "--jobs")
