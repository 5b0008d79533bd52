"""``seqrl train --eval-every``: every architecture plays while it learns."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Result, invoke
from tests.processes import is_running, start, until

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


@pytest.mark.parametrize("arch", ["dt", "odt", "bc", "gpt", "retnet"])
def test_models_of_one_task(runs, arch):
    search = ("plan.horizon=2", "plan.beam_width=2") if arch in ("gpt", "retnet") else ()
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


DT = ("--arch", "dt", *SMALL, "model.n_head=2")
LONG = ("--eval-every", "10", "--eval-episodes", "500", "train.updates=100", "train.checkpoint_every=10")


@pytest.fixture
def training(runs) -> Iterator[tuple[subprocess.Popen, psutil.Process]]:
    """A run that has trained beside its first evaluation, which would take minutes, and the process that plays."""
    process = start(runs, "train", "sim/hopper-medium", *DT, *LONG, "train.log_every=1", "--threads", "1")
    until(lambda: 19 in steps(runs) and players_of(process), 120)
    yield process, *players_of(process)
    process.kill()
    process.communicate()


def steps(runs: Path) -> list[int]:
    path = runs / "sim/hopper-medium/dt-s42/metrics.jsonl"
    return [json.loads(line)["step"] for line in path.read_text().splitlines()] if path.exists() else []


def players_of(process: subprocess.Popen) -> list[psutil.Process]:
    children = [one for one in psutil.Process(process.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if any("workflows.train.player" in word for word in child.cmdline())]


def test_training_goes_on_beside_an_evaluation(runs, training):
    process, player = training
    assert lines(runs / "sim/hopper-medium/dt-s42") == [] and player.is_running() and process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_process_behind(runs, training, number):
    process, player = training
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    until(lambda: not is_running(player.pid))
    checkpoints = runs / "sim/hopper-medium/dt-s42/checkpoints"
    assert [path.name for path in checkpoints.iterdir() if path.is_dir()] == ["00000010"]
    if number != signal.SIGKILL:
        assert process.returncode == 130 and "interrupted at update 10 of 100" in errors


def test_ctrl_c_ends_a_run_that_waits_for_an_evaluation_before_it_replaces_another(runs):
    """At its first checkpoint, the new run waits for the evaluation before it takes the place of the old one."""
    words = ("train", "sim/hopper-medium", *DT, "--threads", "1")
    assert invoke(runs, *words).exit_code == 0
    process = start(runs, *words, *LONG, "train.checkpoint_every=20", "train.log_every=1", "--force")
    metrics = runs / "sim/hopper-medium/.dt-s42.new/metrics.jsonl"
    until(lambda: metrics.exists() and '"step": 20' in metrics.read_text(), 120)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted at update 10 of 100" in errors


def test_a_player_that_dies_is_started_again(runs, training):
    process, player = training
    player.kill()
    until(lambda: players_of(process) not in ([], [player]))
    players_of(process)[0].kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the process of the evaluation died of signal 9 (SIGKILL), and so did the next one" in errors
