"""Policies go through the loop that tokens go through: cut anywhere, they end with the same bits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqrl_cli.config.architectures import names_with
from seqrl_cli.data.policy_windows import PolicyWindows
from seqrl_cli.errors import SeqrlError
from seqrl_cli.tracking.metrics import read_training_lines
from seqrl_cli.training.checkpoints import newest_checkpoint
from seqrl_cli.training.loop import fit, seconds_per_update
from seqrl_cli.training.policy_trainer import PolicyTrainer
from tests.models.policies import make_trajectories
from tests.training.fixtures import Recorder, policy_windows, tiny_policy, tiny_policy_settings
from tests.training.resumable import UPDATES, train


def ends(folder: Path) -> tuple:
    """Everything that must be the same: tensors as bytes, random states, the log without its clock."""
    checkpoint = newest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None and checkpoint.step == UPDATES
    tensors = {**checkpoint.model, **{f"optimizer {name}": value for name, value in checkpoint.optimizer.items()}}
    state = {key: value for key, value in checkpoint.state.items() if key != "elapsed"}
    log = [
        {**line.as_dict(), "elapsed": None, "tokens_per_second": None}
        for line in read_training_lines(folder / "metrics.jsonl")
    ]
    return {name: value.numpy().tobytes() for name, value in tensors.items()}, state, log


@pytest.mark.slow
@pytest.mark.parametrize("arch", names_with("policy"))
def test_a_run_stopped_twice_ends_with_the_same_bits(tmp_path, arch):
    train(tmp_path / "whole", arch=arch)
    for update in (7, 4):
        left = iter(range(update - 1, -1, -1))
        assert train(tmp_path / "cut", arch=arch, should_stop=lambda left=left: next(left) == 0).interrupted
    assert train(tmp_path / "cut", arch=arch).first_step == 11
    assert ends(tmp_path / "cut") == ends(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    """Killed between updates and while a checkpoint is written; the temperature comes back, too."""
    train(tmp_path / "whole", arch="odt")
    for moment, number in [("update", 8), ("write", 5)]:
        command = ["tests.training.resumable", str(tmp_path / "cut"), str(torch.get_num_threads()), moment, str(number)]
        process = subprocess.run([sys.executable, "-m", *command, "odt"], cwd=Path(__file__).parents[2], check=False)
        assert process.returncode == -signal.SIGKILL
    assert 0 < train(tmp_path / "cut", arch="odt").first_step < UPDATES
    assert ends(tmp_path / "cut") == ends(tmp_path / "whole")
    tensors = ends(tmp_path / "cut")[0]
    assert tensors["optimizer temperature.log"] != torch.tensor(0.1).log().numpy().tobytes()


@pytest.mark.slow
def test_the_log_tells_what_only_some_policies_have(tmp_path):
    for arch in names_with("policy"):
        train(tmp_path / arch, arch=arch)
        lines = [json.loads(line) for line in (tmp_path / arch / "metrics.jsonl").read_text().splitlines()]
        extra = {"nll", "entropy", "temperature"} if arch == "odt" else set()
        common = {"step", "epoch", "loss", "validation_loss", "learning_rate", "tokens_per_second", "elapsed"}
        assert all(line.keys() == common | extra for line in lines)
        assert [line["step"] for line in lines if line["validation_loss"] is not None] == [5, 10, 15, 20, 23]
        assert lines[-1]["learning_rate"] == 3e-3 > lines[0]["learning_rate"]
        assert len(read_training_lines(tmp_path / arch / "metrics.jsonl")) == len(lines)


def test_nothing_held_out_other_data_and_a_rate_that_is_too_high(tmp_path):
    recorder = Recorder()
    policy, settings = tiny_policy("odt"), tiny_policy_settings(5)
    fit(policy, policy_windows(), None, settings, trainer=PolicyTrainer, sinks=[recorder])
    assert recorder.lines[-1].get("validation_loss") is None
    train(tmp_path, arch="odt")
    other = PolicyWindows(make_trajectories(2), 6)
    with pytest.raises(SeqrlError, match="size"):
        fit(policy, other, None, tiny_policy_settings(30), trainer=PolicyTrainer, checkpoints=tmp_path / "checkpoints")
    wild = tiny_policy_settings(40, optimizer="adamw", learning_rate=1e20, warmup_updates=1)
    with pytest.raises(SeqrlError, match="the training loss is"):
        fit(tiny_policy("odt"), policy_windows(), None, wild, trainer=PolicyTrainer)


def test_an_estimate_leaves_the_policy_as_it_is():
    policy = tiny_policy("odt")
    before = policy.head.weight.clone()
    assert seconds_per_update(policy, policy_windows(), tiny_policy_settings(5), trainer=PolicyTrainer) > 0
    assert torch.equal(policy.head.weight, before)
