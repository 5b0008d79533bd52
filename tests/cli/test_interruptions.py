"""Commands that are cut: killed outright, stopped with Ctrl-C, or out of disk. Real processes, real signals."""

import json
import signal
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import TINY_MODEL
from tests.processes import ENVIRONMENT, start, wait_for

pytestmark = pytest.mark.slow

TRAIN = (*TINY_MODEL, "train.updates=120", "train.batch_size=8", "train.checkpoint_every=10", "train.log_every=10")
PLAN = ("--horizon", "2", "--beam-width", "4", "--episodes", "3", "--envs", "1", "plan.max_context_transitions=3")


@pytest.fixture
def untrained(runs) -> Path:
    """A run directory with data and tokens."""
    return runs


def status_of(runs: Path, name: str) -> str:
    """What `seqrl runs` says of a run."""
    rows = json.loads(start(runs, "runs", "--json").communicate()[0])["runs"]
    return next(row["status"] for row in rows if row["run"].endswith(name))


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_file(run / "checkpoints/00000120/model.safetensors")


def test_killed_training_ends_with_the_same_weights_as_an_uninterrupted_one(untrained):
    folder = untrained / "sim/hopper-medium"
    for step in ("00000010", "00000050"):
        process = start(untrained, "train", "sim/hopper-medium", *TRAIN, "--name", "killed")
        wait_for(process, folder / "killed/checkpoints" / step)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert status_of(untrained, "killed") == "killed"
    process = start(untrained, "train", "sim/hopper-medium", *TRAIN, "--name", "killed")
    assert "resuming from update" in process.communicate()[1]
    whole = start(untrained, "train", "sim/hopper-medium", *TRAIN, "--name", "whole")
    whole.communicate()
    assert process.returncode == whole.returncode == 0
    one, two = weights(folder / "killed"), weights(folder / "whole")
    assert all(np.array_equal(one[name], two[name]) for name in one)
    steps = [line.split(",")[0] for line in (folder / "killed/metrics.jsonl").read_text().splitlines()]
    assert steps == [f'{{"step": {step}' for step in range(10, 121, 10)]


def test_killed_training_ends_with_the_same_weights_with_two_threads_too(untrained, monkeypatch):
    # threads that wait without spinning: the bits are the same, and a busy machine does not take minutes
    monkeypatch.setitem(ENVIRONMENT, "OMP_WAIT_POLICY", "passive")
    folder = untrained / "sim/hopper-medium"
    words = ("train", "sim/hopper-medium", *TRAIN, "train.updates=30", "--threads", "2")
    process = start(untrained, *words, "--name", "killed")
    wait_for(process, folder / "killed/checkpoints/00000010")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    ends = [start(untrained, *words, "--name", name).communicate()[1] for name in ("killed", "whole")]
    assert "resuming from update" in ends[0]
    assert json.loads((folder / "killed/run.json").read_text())["threads"] == 2
    one, two = (load_file(folder / name / "checkpoints/00000030/model.safetensors") for name in ("killed", "whole"))
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_first_and_says_how_to_go_on(untrained, number):
    run = untrained / "sim/hopper-medium/stopped"
    process = start(untrained, "train", "sim/hopper-medium", *TRAIN, "--name", "stopped")
    wait_for(process, run / "checkpoints/00000010")
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "error: interrupted at update" in errors and "a checkpoint was saved" in errors
    assert "hint: the same command resumes" in errors
    assert '"status": "interrupted"' in (run / "run.json").read_text()


def test_interrupted_plan_keeps_finished_episodes_and_plays_the_rest(untrained):
    folder = untrained / "sim/hopper-medium/gpt-s42/plans/H2-B4-ctx3-s0"
    process = start(untrained, "plan", *PLAN)
    wait_for(process, folder / "episode-000.json")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    first = (folder / "episode-000.json").read_bytes()
    if process.returncode == 130:
        assert "of 3 episodes were finished and kept" in errors
    again = start(untrained, "plan", *PLAN)
    again.communicate()
    assert again.returncode == 0
    assert (folder / "episode-000.json").read_bytes() == first
    assert len(list(folder.glob("episode-*.json"))) == 3
    alone = start(untrained, "plan", *PLAN, "--force")
    with h5py.File(folder / "episode-002.h5") as file:
        actions = file["actions"][:]
    alone.communicate()
    with h5py.File(folder / "episode-002.h5") as file:
        assert np.array_equal(file["actions"][:], actions)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_named_and_leaves_nothing_half_written(small_disk):
    process = start(small_disk, "download", "sim/hopper-medium", "data.transitions=50000")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "error: cannot write" in errors and "the disk is full" in errors
    assert "hint: free some space" in errors
    assert not [path for path in small_disk.rglob("*") if path.suffix == ".h5"]


def test_read_only_disk(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    process = start(small_disk / "runs", "download", "sim/hopper-random", "data.transitions=100")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "the file system is read-only" in errors and "--runs-dir" in errors


def test_a_run_in_use_is_left_alone(untrained):
    process = start(untrained, "train", "sim/hopper-medium", *TRAIN, "train.updates=100000", "--name", "busy")
    wait_for(process, untrained / "sim/hopper-medium/busy/checkpoints/00000010")
    second = start(untrained, "train", "sim/hopper-medium", *TRAIN, "train.updates=100000", "--name", "busy")
    _, errors = second.communicate()
    process.kill()
    process.communicate()
    assert second.returncode == 1
    assert f"in use by another seqrl (process {process.pid})" in errors


def test_two_runs_started_at_once_share_the_work_on_their_data(tmp_path):
    words = ("train", "sim/hopper-random", "data.transitions=400", *TRAIN, "train.updates=10")
    processes = [start(tmp_path, *words, "--seed", str(seed)) for seed in (1, 2)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert sum("simulating" in text for text in errors) == 1
    assert len(list((tmp_path / "sim/hopper-random").glob("gpt-s*/run.json"))) == 2
