"""``seqrl train --eval-every``: every architecture plays while it learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Result, invoke

pytestmark = pytest.mark.slow

SMALL = ("model.width=16", "model.n_layer=1", "train.updates=4", "train.batch_size=8", "train.checkpoint_every=2")
PLAY = ("--eval-every", "2", "--eval-episodes", "2", "plan.max_steps=4", "data.transitions=300")


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


def lines(run: Path) -> list[dict]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if "evaluation_episodes" in line]


def train(runs: Path, arch: str, *words: str, data: str = "sim/hopper-medium") -> Result:
    result = invoke(runs, "train", data, "--arch", arch, *SMALL, *PLAY, *words)
    return result


@pytest.mark.parametrize("arch", ["dt", "odt", "bc", "gpt"])
def test_models_of_one_task(runs, arch):
    search = ("plan.horizon=2", "plan.beam_width=2") if arch == "gpt" else ()
    heads = () if arch == "bc" else ("model.n_head=2",)
    done = train(runs, arch, *search, *heads)
    assert done.exit_code == 0, done.stderr
    found = lines(runs / f"sim/hopper-medium/{arch}-s42")
    assert [line["step"] for line in found] == [2, 4]
    assert all(line["evaluation_episodes"] == 2 and line["evaluation_return"] > 0 for line in found)
    assert "evaluation_score" in found[0] and not any("/" in name for name in found[0])


def test_models_of_many_tasks(runs):
    data = "sim/hopper-medium+sim/walker2d-medium"
    assert train(runs, "mddt", "model.n_head=2", data=data).exit_code == 0
    folder = runs / "sim/hopper-medium+walker2d-medium"
    found = lines(folder / "mddt-s42")
    assert [line["step"] for line in found] == [2, 4] and found[0]["evaluation_episodes"] == 4
    returns = [found[1][f"evaluation_return/{task}"] for task in ("Hopper-v4", "Walker2d-v4")]
    assert found[1]["evaluation_return"] == pytest.approx(sum(returns) / 2)

    some = train(runs, "mddt", "model.n_head=2", "--eval-tasks", "Walker*", "--name", "some", data=data)
    assert some.exit_code == 0 and lines(folder / "some")[1]["evaluation_return"] == returns[1]
    weights = [(folder / name / "checkpoints/00000004/model.safetensors").read_bytes() for name in ("mddt-s42", "some")]
    assert weights[0] == weights[1]

    wrong = train(runs, "mddt", "--eval-tasks", "Hoper-v4", "--name", "wrong", data=data)
    assert wrong.exit_code == 2 and "did you mean 'Hopper-v4'?" in wrong.stderr
    assert not (folder / "wrong/run.json").exists()
