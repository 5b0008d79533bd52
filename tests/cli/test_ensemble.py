"""Several runs plan as one: ``seqrl plan RUN RUN``."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN, assert_refused, invoke, succeed

pytestmark = pytest.mark.slow

DATASET = "sim/hopper-medium"
FIRST, SECOND = f"{DATASET}/gpt-s42", f"{DATASET}/gpt-s1"


@pytest.fixture(scope="module")
def made(made_runs, tmp_path_factory):
    """Made once: runs of two seeds, and a policy."""
    runs = shutil.copytree(made_runs, tmp_path_factory.mktemp("ensemble") / "runs")
    succeed(runs, "train", DATASET, *TINY_TRAIN, "--seed", 1)
    succeed(runs, "train", DATASET, *TINY_ODT)
    return runs


@pytest.fixture
def runs(made, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "runs")


def episodes(folder) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.h5"))]


def test_two_runs_plan_together(runs):
    words = ("plan", FIRST, SECOND, *TINY_PLAN, "--threads", 1)
    said = json.loads(succeed(runs, *words, "--json").stdout)
    (folder,) = (runs / FIRST / "plans").glob("*with*")
    record = json.loads((folder / "episode-000.json").read_text())
    name, _, weights = record["settings"]["ensemble"].partition("@")
    assert "-with_gpt-s1-" in folder.name and name == "gpt-s1" and len(weights) == 8
    assert said["episodes"] == 2 and not list((runs / SECOND / "plans").glob("*"))
    alone = next(path for path in (runs / FIRST / "plans").iterdir() if "with" not in path.name)
    assert episodes(alone) != episodes(folder) and len(episodes(folder)) == 2
    assert "already has 2 episodes" in succeed(runs, *words).stderr
    assert "with_gpt-s1" in succeed(runs, "table").stdout


def test_processes_play_the_same_episodes(runs):
    words = ("plan", FIRST, SECOND, *TINY_PLAN)
    succeed(runs, *words, "--threads", 1)
    (folder,) = (runs / FIRST / "plans").glob("*with*")
    alone = episodes(folder)
    succeed(runs, *words, "--threads", 1, "--jobs", 2, "--force")
    assert episodes(folder) == alone


def test_an_older_checkpoint_of_a_gpt_plans_with_a_retnet(runs):
    succeed(runs, "train", DATASET, *TINY_TRAIN, "--arch", "retnet")
    words = ("plan", FIRST, f"{DATASET}/retnet-s42", *TINY_PLAN)
    succeed(runs, *words)
    succeed(runs, *words, "--checkpoint", 2)
    newest, older = sorted((runs / FIRST / "plans").glob("*with_retnet-s42*"), key=lambda path: "step2" in path.name)
    assert "step2" in older.name and episodes(newest) != episodes(older) and len(episodes(older)) == 2


def test_a_member_that_was_trained_anew_is_noticed(runs):
    words = ("plan", FIRST, SECOND, *TINY_PLAN)
    succeed(runs, *words)
    succeed(runs, "train", DATASET, *TINY_TRAIN, "--seed", 1, "train.learning_rate=0.001", "--force")
    assert_refused(invoke(runs, *words), 1, "weights of the ensemble have changed since", "--force plays again")
    succeed(runs, *words, "--force")


def test_what_cannot_be_an_ensemble(runs):
    assert_refused(invoke(runs, "plan", FIRST, FIRST), 2, "gpt-s42 is named twice", "once")
    assert_refused(invoke(runs, "plan", FIRST, "plan.ensemble=gpt-s1+gpt-s1"), 2, "gpt-s1 is named twice", "once")
    changed = invoke(runs, "plan", FIRST, "plan.ensemble=gpt-s1@00000000")
    assert_refused(changed, 1, "gpt-s1 have changed meanwhile", "starts over")
    trained = invoke(runs, "train", DATASET, *TINY_TRAIN, "--name", "new", "plan.ensemble=gpt-s1")
    assert_refused(trained, 2, "plan.ensemble is for trained runs", "seqrl plan")
    assert_refused(invoke(runs, "plan", FIRST, SECOND, "plan.ensemble=gpt-s1"), 2, "named twice", "plan.ensemble")
    assert_refused(invoke(runs, "plan", FIRST, "plan.ensemble=gpt-s42"), 2, "the run itself", "other runs")
    assert_refused(invoke(runs, "plan", FIRST, f"{DATASET}/odt-s42"), 1, "does not plan, so it cannot", "seqrl runs")
    assert_refused(invoke(runs, "plan", f"{DATASET}/odt-s42", SECOND), 2, "plan.ensemble", "")
    assert_refused(invoke(runs, "plan", FIRST, "nothing"), 1, "nothing", "seqrl")
    assert_refused(invoke(runs, "plan", FIRST, "plan.ensemble=../b"), 2, "cannot be the name of a run", "letters")
    assert_refused(invoke(runs, "plan", FIRST, "plan.ensemble=gone"), 1, "gone", "seqrl runs")


def test_runs_of_other_data_or_tokens_are_refused(runs):
    succeed(runs, "download", "sim/hopper-expert", "data.transitions=1500")
    succeed(runs, "train", "sim/hopper-expert", *TINY_TRAIN)
    assert_refused(
        invoke(runs, "plan", FIRST, "sim/hopper-expert/gpt-s42"), 2, "are in different folders", "side by side"
    )
    succeed(runs, "discretize", DATASET, "data.bins=20", "--force")
    succeed(runs, "train", DATASET, *TINY_TRAIN, "data.bins=20", "--name", "coarse")
    assert_refused(invoke(runs, "plan", FIRST, f"{DATASET}/coarse"), 1, "tokens", "")


def test_a_sweep_is_no_member(runs):
    succeed(runs, "sweep", DATASET, *TINY_TRAIN, "--seeds", "3", "--name", "many")
    assert_refused(invoke(runs, "plan", FIRST, "many"), 2, "many is a sweep", "single runs")
