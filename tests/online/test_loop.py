from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seqrl_cli.data.formats.d4rl import read_d4rl
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.errors import SeqrlError
from seqrl_cli.tracking.metrics import read_online_lines
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.training.checkpoints import DamagedCheckpointError, newest_checkpoint
from tests.online.fixtures import finetune_context, small_settings, tune
from tests.online.resumable import run

pytestmark = pytest.mark.slow

LAST = 100 + 6 * 4  # updates before fine-tuning, iterations, updates each


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert run(folder).iteration == 6
    return folder


def logged(folder: Path) -> list[dict]:
    return [{**line.as_dict(), "elapsed": 0.0} for line in read_online_lines(folder / "metrics.jsonl")]


def assert_same_end(folder: Path, reference: Path) -> None:
    """Weights, moments, random states, counters, measures and the buffer's files are equal to the last bit."""
    ours, theirs = newest_checkpoint(folder / "checkpoints"), newest_checkpoint(reference / "checkpoints")
    assert ours.step == theirs.step == LAST
    for mine, other in ((ours.model, theirs.model), (ours.optimizer, theirs.optimizer)):
        assert mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in other)
    for state in (ours.state, theirs.state):
        del state["elapsed"]
    assert ours.state == theirs.state
    assert "temperature.log" in ours.optimizer and ours.state["learner"] == theirs.state["learner"]
    assert logged(folder) == logged(reference)
    assert files(folder) == files(reference)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "buffer").iterdir()}


def test_an_iteration_explores_learns_and_now_and_then_evaluates(uninterrupted):
    lines = read_online_lines(uninterrupted / "metrics.jsonl")
    assert [line.iteration for line in lines] == list(range(7))
    assert [line.step for line in lines] == [100 + 4 * iteration for iteration in range(7)]
    assert [line.number("episodes") for line in lines] == [2 * iteration for iteration in range(7)]
    assert [line.get("evaluation_return") is not None for line in lines] == [True, False] * 3 + [True]
    assert lines[0].get("exploration_return") is None and lines[0].env_steps == 0 and lines[0].get("loss") is None
    assert [line.number("buffer") for line in lines] == [4, 5, 5, 5, 5, 5, 5]
    assert all(one.env_steps < two.env_steps for one, two in zip(lines[:-1], lines[1:], strict=True))


def test_the_buffer_on_disk_holds_what_kept_checkpoints_need(uninterrupted):
    names = sorted(path.name for path in (uninterrupted / "buffer").iterdir())
    # 16 were added, 5 are held; the older checkpoint, 12 and 5, begins with number 7, which lies in 6 to 7
    assert names == [f"{first:08d}.h5" for first in (6, 8, 10, 12, 14)]
    assert all(len(read_d4rl(uninterrupted / "buffer" / name)) == 2 for name in names)
    assert saved_steps(uninterrupted / "checkpoints") == [LAST - 8, LAST]


def killed(folder: Path, moment: str, number: int) -> int:
    command = [sys.executable, "-m", "tests.online.resumable", str(folder), moment, str(number)]
    return subprocess.run(command, cwd=Path(__file__).parents[2], check=False, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    "moments", [[("step", 5), ("write", 7), ("update", 11)], [("write", 2), ("step", 80), ("write", 17)]]
)
def test_killed_again_and_again_it_ends_the_same(tmp_path, uninterrupted, moments):
    for moment, number in moments:
        assert killed(tmp_path, moment, number) == -signal.SIGKILL
    run(tmp_path)
    assert_same_end(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [3, 25, 29, 30, 31, 60, 90])
def test_stopped_anywhere_it_saves_and_goes_on_to_the_same_end(tmp_path, uninterrupted, asked):
    questions = iter(range(1, 10_000))
    outcome = tune(tmp_path, small_settings(), should_stop=lambda: next(questions) >= asked)
    assert outcome.interrupted and outcome.iteration < 6
    assert tune(tmp_path, small_settings()).first_iteration == outcome.iteration
    assert_same_end(tmp_path, uninterrupted)


def test_ctrl_c_waits_for_the_update(tmp_path, uninterrupted):
    def interrupt(progress) -> None:
        if (progress.iteration, progress.updated) == (2, 3):
            os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    assert tune(tmp_path, small_settings(), on_progress=interrupt).interrupted
    assert newest_checkpoint(tmp_path / "checkpoints").step == 100 + 2 * 4 + 3
    tune(tmp_path, small_settings())
    assert_same_end(tmp_path, uninterrupted)


def test_more_iterations_go_on_as_if_they_had_been_asked_for_at_once(tmp_path, uninterrupted):
    tune(tmp_path, small_settings(4))
    assert tune(tmp_path, small_settings(6)).first_iteration == 4
    assert_same_end(tmp_path, uninterrupted)


def test_a_broken_environment_is_reported_and_the_buffer_is_intact(tmp_path, uninterrupted):
    context = finetune_context(tmp_path)

    def breaks(iteration, on_step):
        if iteration == 4:
            raise EnvironmentFailedError("environment Hopper-v4 failed in a step: RuntimeError: lost", "…")
        return explore(iteration, on_step)

    explore = context.explore
    with pytest.raises(EnvironmentFailedError, match="lost"):
        tune(tmp_path, small_settings(), replace(context, explore=breaks))
    assert newest_checkpoint(tmp_path / "checkpoints").step == 100 + 3 * 4
    tune(tmp_path, small_settings())
    assert_same_end(tmp_path, uninterrupted)


def test_an_iteration_whose_episodes_were_all_left_out_learns_from_the_buffer(tmp_path):
    context = finetune_context(tmp_path)
    explore = context.explore
    context = replace(context, explore=lambda iteration, on_step: explore(1, on_step) if iteration == 1 else [])
    tune(tmp_path, small_settings(2), context)
    first, last = read_online_lines(tmp_path / "metrics.jsonl")[-2:]
    assert last.env_steps == first.env_steps and last.number("buffer") == 5
    assert last.get("exploration_return") is None and last.number("loss") > 0


def test_exploration_that_only_blows_up_ends_it(tmp_path):
    context = finetune_context(tmp_path, explore=lambda iteration, on_step: [])
    with pytest.raises(SeqrlError, match="every exploration episode contains numbers that are not finite"):
        tune(tmp_path, small_settings(2), context)


def test_a_damaged_buffer_file_is_named(tmp_path, uninterrupted):
    tune(tmp_path, small_settings(2))
    (tmp_path / "buffer/00000006.h5").write_bytes(b"foreign")
    with pytest.raises(SeqrlError, match="00000006.h5 is damaged"):
        tune(tmp_path, small_settings(4))


@pytest.mark.parametrize("key", ["progress", "buffer"])
def test_a_state_without_its_counters_is_damage(tmp_path, key):
    tune(tmp_path, small_settings(2))
    path = tmp_path / "checkpoints" / f"{100 + 2 * 4:08d}" / "state.json"
    state = json.loads(path.read_text())
    del state["training"][key]
    path.write_text(json.dumps(state))
    with pytest.raises(DamagedCheckpointError, match=f"{path.parent.name} is damaged: its state.json has no '{key}'"):
        tune(tmp_path, small_settings(4))
    shutil.rmtree(path.parent)
    assert tune(tmp_path, small_settings(4)).first_iteration == 0


def test_a_loss_that_is_not_finite_stops_it(tmp_path):
    context = finetune_context(tmp_path)
    context.offline[0].actions[:] = np.inf
    explore = context.explore
    with pytest.raises(SeqrlError, match="the training loss is") as refusal:
        tune(tmp_path, small_settings(), replace(context, explore=lambda *turn: explore(*turn)[:1]))
    assert "with online.learning_rate=" in refusal.value.hint


def test_metrics_are_one_object_a_line_and_bad_lines_are_left_out(uninterrupted, tmp_path):
    text = (uninterrupted / "metrics.jsonl").read_text()
    assert all(set(json.loads(line)) == set(logged(uninterrupted)[0]) for line in text.splitlines())
    bad = '[]\n{"iteration": 1}\n{"iteration": "x"}\nnonsense\n'
    (tmp_path / "metrics.jsonl").write_text(bad + text + text[:40])
    assert logged(tmp_path) == logged(uninterrupted)


def test_a_resumed_run_keeps_lines_with_keys_of_another_version_and_drops_a_cut_one(tmp_path):
    tune(tmp_path, small_settings(4))
    log = tmp_path / "metrics.jsonl"
    lines = [json.dumps({**json.loads(line), "task": 1}) + "\n" for line in log.read_text().splitlines()]
    log.write_text("".join(lines) + lines[-1][:20])
    tune(tmp_path, small_settings(6))
    kept = log.read_text().splitlines(keepends=True)
    assert kept[:5] == lines and len(lines) == 5
    assert [json.loads(line)["iteration"] for line in kept[5:]] == [5, 6]


def test_another_number_of_threads_is_told_on_resuming(tmp_path):
    tune(tmp_path, small_settings(1))
    threads, said = torch.get_num_threads(), []
    torch.set_num_threads(threads + 1)
    try:
        tune(tmp_path, small_settings(2), on_warning=said.append)
    finally:
        torch.set_num_threads(threads)
    assert said == [f"resuming with {threads + 1} threads, but the run used {threads}: last digits may differ"]
