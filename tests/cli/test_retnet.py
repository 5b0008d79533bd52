"""A RetNet goes the whole chain: trained, planned with in both contexts, rendered, reported."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.cli.conftest import TINY_PLAN, TINY_TRAIN, invoke, succeed

pytestmark = pytest.mark.slow

RETNET = ("--arch", "retnet", "model.value_width=24", "model.ffn_width=40")


@pytest.fixture(scope="module")
def trained(made_runs, tmp_path_factory):
    """Made once: a trained RetNet beside the GPT."""
    runs = shutil.copytree(made_runs, tmp_path_factory.mktemp("retnet") / "runs")
    succeed(runs, "train", "sim/hopper-medium", *TINY_TRAIN, *RETNET)
    return runs


@pytest.mark.parametrize("context", ["window", "recurrent"])
def test_the_whole_chain(trained, context):
    succeed(trained, "plan", "retnet-s42", *TINY_PLAN, f"plan.context={context}")
    folder = next(
        path for path in trained.rglob("retnet-s42/plans/*") if ("carry" in path.name) == (context == "recurrent")
    )
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("episode-*.json"))]
    assert [record["arch"] for record in records] == ["retnet"] * 2
    assert all(record["settings"]["context"] == context and record["return"] > 0 for record in records)
    succeed(trained, "render", "retnet-s42")
    assert "retnet" in succeed(trained, "table").output.lower()


@pytest.mark.parametrize("mode", ["chunkwise", "recurrent"])
def test_other_forms_train_to_the_same_loss(trained, mode):
    # the modern recipe's optimizer computes in bfloat16, whose rounding would hide what the forms differ in
    exact = ("train.recipe=paper", "train.precision=float32")
    words = ("train", "sim/hopper-medium", *TINY_TRAIN, *RETNET, *exact, "--json", "--quiet")
    reports = [
        json.loads(succeed(trained, *words, "--name", name, "--mode", name, "model.chunk_size=7").stdout)
        for name in ("parallel", mode)
    ]
    assert reports[0]["loss"] == pytest.approx(reports[1]["loss"], abs=1e-4)


def test_other_forms_plan_the_same_episodes(trained):
    words = ("plan", "retnet-s42", *TINY_PLAN, "--force", "--json", "--quiet")
    returns = [
        json.loads(succeed(trained, *words, *mode).stdout)["mean_return"] for mode in ((), ("--mode", "recurrent"))
    ]
    assert returns[0] == pytest.approx(returns[1])


@pytest.mark.parametrize(
    ("run", "mode", "message"),
    [("gpt-s42", "recurrent", "only a retnet has it"), ("retnet-s42", "paralell", "did you mean 'parallel'")],
)
def test_bad_modes_of_planning(trained, run, mode, message):
    result = invoke(trained, "plan", run, *TINY_PLAN, "--mode", mode)
    assert result.exit_code == 2 and message in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--arch", "retnet", "--mode", "chunckwise"), "did you mean 'chunkwise'"),
        (("--arch", "retnit"), "did you mean 'retnet'"),
        (("--arch", "retnet", "model.chunk_size=0"), "chunk_size"),
        (("--arch", "retnet", "model.chunk_size=-3"), "chunk_size"),
        (("--arch", "retnet", "model.n_head=5"), "not divisible by model.n_head = 5"),
        (("--arch", "retnet", "model.width=10", "model.n_head=2"), "needs an even number"),
        (("--mode", "recurrent"), "only a retnet has it"),
    ],
)
def test_bad_settings(seqrl, words, message):
    result = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--name", "bad", *words)
    assert result.exit_code in (1, 2) and message in " ".join(result.output.split())


def test_a_gpt_carries_nothing(seqrl):
    result = seqrl("plan", "gpt-s42", *TINY_PLAN, "plan.context=recurrent")
    assert result.exit_code == 2 and "gpt cannot carry its context" in " ".join(result.output.split())


@pytest.mark.parametrize(("ours", "theirs"), [("gpt", "retnet"), ("retnet", "gpt")])
def test_weights_of_the_other_architecture(trained, tmp_path, ours, theirs):
    runs = shutil.copytree(trained, tmp_path / "runs")
    folders = {path.name: path for path in runs.rglob("*-s42")}
    shutil.rmtree(folders[f"{ours}-s42"] / "checkpoints")
    shutil.copytree(folders[f"{theirs}-s42"] / "checkpoints", folders[f"{ours}-s42"] / "checkpoints")
    result = invoke(runs, "plan", f"{ours}-s42", *TINY_PLAN, "--force")
    assert result.exit_code == 1 and f"holds weights of a {theirs}" in " ".join(result.output.split())
