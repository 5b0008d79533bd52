from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from seqrl_cli.artifacts.train_job import parameters_text
from seqrl_cli.errors import SeqrlError
from seqrl_cli.tracking.metrics import read_training_lines
from seqrl_cli.tracking.sinks import JsonlSink
from seqrl_cli.training.checkpoint_folders import saved_steps, step_folder
from seqrl_cli.training.checkpoints import newest_checkpoint
from seqrl_cli.training.loop import fit, seconds_per_update
from seqrl_cli.training.token_trainer import TokenTrainer
from tests.training.fixtures import Recorder, pattern_windows, tiny_gpt, tiny_settings
from tests.training.resumable import UPDATES, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(folder)
    return folder


def final_checkpoint(folder: Path):
    checkpoint = newest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None and checkpoint.step == UPDATES
    return checkpoint


def assert_same_end(folder: Path, reference: Path) -> None:
    """Weights, moments, random states and logged losses are equal to the last bit."""
    ours, theirs = final_checkpoint(folder), final_checkpoint(reference)
    for mine, other in ((ours.model, theirs.model), (ours.optimizer, theirs.optimizer)):
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in other)
    assert ours.state["generators"] == theirs.state["generators"]
    assert ours.state["sampler"] == theirs.state["sampler"]
    assert logged(folder) == logged(reference)


def logged(folder: Path) -> list[dict]:
    records = read_training_lines(folder / "metrics.jsonl")
    return [{**line.as_dict(), "elapsed": None, "tokens_per_second": None} for line in records]


@pytest.mark.slow
def test_a_tiny_model_learns_a_pattern():
    recorder = Recorder()
    windows = pattern_windows()
    settings = tiny_settings(120, log_every=60)
    fit(tiny_gpt(), windows, pattern_windows(2, 9), settings, sinks=[recorder])
    assert recorder.lines[-1].step == 120
    assert recorder.lines[-1].get("validation_loss") < 0.5 * recorder.lines[0].get("validation_loss") < 3


@pytest.mark.slow
def test_a_run_killed_many_times_ends_with_the_same_bits(tmp_path, uninterrupted):
    """Killed between updates, while a checkpoint's files are written, and before ``last`` follows."""
    for moment, number in [("update", 3), ("write", 2), ("write", 5), ("update", 8), ("write", 11)]:
        command = [sys.executable, "-m", "tests.training.resumable", str(tmp_path), str(torch.get_num_threads())]
        process = subprocess.run([*command, moment, str(number), "gpt"], cwd=Path(__file__).parents[2], check=False)
        assert process.returncode == -signal.SIGKILL
    assert 0 < train(tmp_path).first_step < UPDATES
    assert_same_end(tmp_path, uninterrupted)
    assert not list((tmp_path / "checkpoints").glob(".*.tmp"))


def test_ctrl_c_saves_and_reports_and_the_run_goes_on(tmp_path, uninterrupted):
    outcome = fit_until(tmp_path, on_progress=lambda step, updates: step == 7 and os.kill(os.getpid(), signal.SIGINT))
    assert outcome.interrupted and outcome.step == 8
    assert (tmp_path / "checkpoints" / "last").read_text() == "00000008\n"
    assert train(tmp_path).first_step == 8
    assert_same_end(tmp_path, uninterrupted)


def test_should_stop_saves_outside_the_main_thread_too(tmp_path):
    thread = threading.Thread(target=fit_until, args=(tmp_path,), kwargs={"should_stop": lambda: True})
    thread.start()
    thread.join()
    assert saved_steps(tmp_path / "checkpoints") == [1]


def fit_until(folder: Path, **callbacks):
    paths = {"checkpoints": folder / "checkpoints", "sinks": [JsonlSink(folder / "metrics.jsonl")]}
    held_out = pattern_windows(episodes=2, length=9)
    return fit(tiny_gpt(), pattern_windows(), held_out, tiny_settings(UPDATES), **paths, **callbacks)


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, uninterrupted):
    train(tmp_path)
    model = step_folder(tmp_path / "checkpoints", UPDATES) / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-100])
    warnings: list[str] = []
    outcome = fit_until(tmp_path, on_warning=warnings.append)
    assert outcome.first_step == 20 and "model.safetensors" in warnings[0]
    assert_same_end(tmp_path, uninterrupted)


def test_a_finished_run_is_left_alone(tmp_path):
    train(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_text()
    outcome = train(tmp_path)
    assert (outcome.first_step, outcome.step, outcome.interrupted) == (UPDATES, UPDATES, False)
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_a_resumed_run_keeps_lines_with_keys_of_another_version_and_drops_a_cut_one(tmp_path):
    train(tmp_path, should_stop=stop_after(7))
    log = tmp_path / "metrics.jsonl"
    lines = [json.dumps({**json.loads(line), "grad_norm": 1.5}) + "\n" for line in log.read_text().splitlines()]
    log.write_text("".join(lines) + lines[-1][:20])
    train(tmp_path)
    kept = log.read_text().splitlines(keepends=True)
    assert kept[: len(lines)] == lines and len(lines) == 3
    assert [json.loads(line)["step"] for line in kept[len(lines) :]] == [9, 10, 12, 15, 18, 20, 21, 23]


def stop_after(updates: int) -> Callable[[], bool]:
    asked = count(1)
    return lambda: next(asked) == updates


def test_the_callers_random_stream_is_untouched():
    model = tiny_gpt()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    weights = model.norm.weight.clone()
    assert seconds_per_update(model, pattern_windows(), tiny_settings(2)) > 0
    assert torch.equal(model.norm.weight, weights)
    fit(model, pattern_windows(), pattern_windows(2, 9), tiny_settings(2))
    assert torch.equal(torch.rand(2), expected)


def test_a_diverging_run_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path):
    model = tiny_gpt()

    def poison(step: int, updates: int) -> None:
        if step == 6:
            torch.nn.init.constant_(model.norm.weight, np.nan)

    with pytest.raises(SeqrlError, match="nan at step 7") as caught:
        fit(
            model,
            pattern_windows(),
            pattern_windows(2, 9),
            tiny_settings(UPDATES),
            checkpoints=tmp_path,
            on_progress=poison,
        )
    assert "learning_rate" in caught.value.hint
    assert saved_steps(tmp_path) == [5]


def test_other_data_or_another_model_is_refused(tmp_path):
    train(tmp_path)
    folder = tmp_path / "checkpoints"
    with pytest.raises(SeqrlError, match="size"):
        fit(tiny_gpt(), pattern_windows(5), pattern_windows(2, 9), tiny_settings(UPDATES), checkpoints=folder)
    smaller = tiny_gpt()
    del smaller.blocks[1]
    with pytest.raises(SeqrlError, match="another model"):
        fit(smaller, pattern_windows(), pattern_windows(2, 9), tiny_settings(UPDATES), checkpoints=folder)


@pytest.mark.slow
def test_bf16_and_an_empty_validation_set():
    recorder = Recorder()
    nothing = pattern_windows()
    nothing = type(nothing)(nothing.tokens, np.array([0, len(nothing.tokens)]), 4, nothing.bins, episodes=[])
    fit(tiny_gpt(), pattern_windows(), nothing, tiny_settings(60, precision="bf16"), sinks=[recorder])
    assert recorder.lines[-1].get("validation_loss") is None
    assert recorder.lines[-1].loss < 0.5 * recorder.lines[0].loss


def test_frozen_parameters_stay_and_have_no_state(tmp_path):
    model = tiny_gpt()
    model.blocks[0].requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, pattern_windows(), pattern_windows(2, 9), tiny_settings(7), checkpoints=tmp_path)
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]) == name.startswith("blocks.0."), name
    moments = newest_checkpoint(tmp_path).optimizer
    assert moments and not any(name.startswith("blocks.0.") for name in moments)
    assert parameters_text(model).endswith(" trainable") and parameters_text(tiny_gpt()).endswith(" parameters")


def test_a_run_that_resumes_at_its_end_tidies_up(tmp_path):
    train(tmp_path)
    checkpoints = tmp_path / "checkpoints"
    kept = saved_steps(checkpoints)
    shutil.copytree(step_folder(checkpoints, kept[0]), step_folder(checkpoints, 1))
    (checkpoints / "last").write_text(f"{kept[0]:08d}\n")
    train(tmp_path)
    assert saved_steps(checkpoints) == kept
    assert (checkpoints / "last").read_text() == f"{UPDATES:08d}\n"


@pytest.mark.parametrize("position", [-1, 10**30, 1e400])
def test_a_position_that_cannot_be_is_damage(tmp_path, position):
    train(tmp_path)
    path = step_folder(tmp_path / "checkpoints", UPDATES) / "state.json"
    state = json.loads(path.read_text())
    state["training"]["sampler"]["position"] = position
    path.write_text(json.dumps(state))
    with pytest.raises(SeqrlError, match="is damaged: its state.json cannot be used"):
        train(tmp_path)


def test_a_loss_on_held_out_data_that_is_not_finite_is_warned_of_once(tmp_path, monkeypatch):
    monkeypatch.setattr(TokenTrainer, "validation_loss", lambda self: math.nan)
    recorder, warnings = Recorder(), list[str]()
    settings = tiny_settings(4, log_every=1, checkpoint_every=1)
    fit(tiny_gpt(), pattern_windows(), pattern_windows(2, 9), settings, sinks=[recorder], on_warning=warnings.append)
    assert math.isnan(recorder.lines[-1].get("validation_loss"))
    assert warnings == [
        "the validation loss is nan; perhaps held-out values are far outside those of the training data"
    ]
