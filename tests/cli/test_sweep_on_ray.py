"""Work on a Ray cluster of two nodes that loses a worker and a node: the same bits as on this machine alone."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest

from seqrl_cli.tracking.metrics import read_online_lines
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN, TINY_TUNE, assert_refused, invoke, succeed
from tests.cli.sweeps import DATASET, LONG, has_checkpoint, hashes, make_serial, trainings
from tests.cli.weights import same_weights
from tests.processes import start, until

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SEEDS = range(1, 5)
NAMES = [f"gpt-s{seed}" for seed in SEEDS]


@pytest.fixture
def cluster(monkeypatch) -> Iterator[Any]:
    """A head and another node, one core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    store = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    made = started(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **store}))
    made.other = started(lambda: made.add_node(num_cpus=1, object_store_memory=80 * 2**20))
    yield made
    made.shutdown()


def started(start_node: Callable[[], Any]) -> Any:
    """Start a node; on a busy machine it may not answer within Ray's 30 s."""
    for _ in range(3):
        try:
            return start_node()
        except Exception as error:  # Ray raises no other class here
            if "timed out" not in str(error):
                raise
    return start_node()


def test_a_worker_and_a_node_are_killed_and_the_weights_are_those_of_serial_runs(cluster, made_runs, tmp_path):
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    sweep = start(
        runs, "sweep", DATASET, "--arch", "gpt", "--seeds", "1-4", *LONG, "--on", "ray", "--address", cluster.address
    )
    try:
        until(lambda: any(has_checkpoint(runs, name) for name in trainings(runs)) or sweep.poll() is not None, 300)
        assert sweep.poll() is None, sweep.communicate()
        lost = next(name for name in trainings(runs) if has_checkpoint(runs, name))
        worker = trainings(runs)[lost].parent()
        assert worker is not None and "ray::" in worker.name() + " ".join(worker.cmdline())
        worker.kill()
        first = trainings(runs).get(lost)
        until(lambda: len(trainings(runs)) == 2 and trainings(runs).get(lost) != first, 300)
        kill_node(cluster)
        out, err = sweep.communicate(timeout=900)
        assert sweep.returncode == 0, err
        assert "4 members: 4 finished" in out and "raylet" not in out
        logs = (runs / "sweeps/hopper-medium-gpt/logs").glob("*.log")
        assert sum(log.read_text().count("$ seqrl train") for log in logs) == 6  # one for each death
    finally:
        sweep.kill()
    serial = Path(shutil.copytree(made_runs, tmp_path / "serial"))
    make_serial(serial, SEEDS, "gpt")
    assert hashes(runs, NAMES) == hashes(serial, NAMES)


def kill_node(cluster: Any) -> None:
    """Cut the power of the second node: its raylet, its workers and what they started die at once."""
    raylet = cluster.other.all_processes["raylet"][0].process
    node = psutil.Process(raylet.pid)
    below = node.children(recursive=True)
    for process in (node, *below):
        process.suspend()
    for process in (*below, node):
        process.kill()
    raylet.wait()  # as a zombie it would count as alive


def test_a_cluster_that_is_not_there(runs):
    refused = invoke(runs, "sweep", DATASET, "--seeds", "1-2", *LONG, "--on", "ray", "--address", "127.0.0.1:1")
    assert_refused(refused, 1, "no Ray cluster answers at 127.0.0.1:1", "ray start --head")
    assert not (runs / "sweeps").exists()


def test_a_plan_on_two_nodes_has_the_same_episodes(cluster, made_runs, tmp_path):
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    plan = next((runs / DATASET).glob("gpt-s42/plans/*"))
    before = {path.name: actions_of(path) for path in plan.glob("*.h5")}
    shutil.rmtree(plan)
    done = invoke(runs, "plan", *TINY_PLAN, "--on", "ray", "--address", cluster.address)
    assert done.exit_code == 0 and "in 2 parts" in done.stderr, done.output
    after = {path.name: actions_of(path) for path in plan.glob("*.h5")}
    assert len(after) == 2 and after == before


def test_trials_run_on_two_nodes(cluster, runs):
    pytest.importorskip("optuna")
    words = ("tune", DATASET, *TINY_TRAIN, "train.learning_rate=log:1e-4..1e-2", "--name", "found", "--trials", "2")
    done = invoke(runs, *words, "--on", "ray", "--address", cluster.address, "--json")
    assert done.exit_code == 0, done.output
    assert [trial["state"] for trial in json.loads(done.stdout)["trials"]] == ["complete"] * 2


def test_a_fine_tuning_survives_a_lost_node_and_resumes_without_a_cluster(cluster, made_runs, tmp_path):
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    succeed(runs, "train", DATASET, *TINY_ODT)
    run, words = runs / DATASET / "odt-s42-online", ("finetune-online", "odt-s42", *TINY_TUNE, "--envs", "3")
    command = start(runs, *words, "--iterations", "100000", "--on", "ray", "--address", cluster.address)
    try:
        until((run / "checkpoints/last").exists, 300)
        kill_node(cluster)
        for _ in range(2):  # the first may have begun before
            reached = (run / "checkpoints/last").read_text()
            until(lambda: command.poll() is not None or (run / "checkpoints/last").read_text() != reached, 120)  # noqa: B023
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=120)
    finally:
        command.kill()
    assert command.returncode == 130 and "everything was saved" in err, err
    assert "2 processes share the episodes" in err and "raylet" not in out
    iterations = read_online_lines(run / "metrics.jsonl")[-1].iteration + 3
    succeed(runs, *words, "--iterations", iterations)
    succeed(runs, *words, "--iterations", iterations, "--name", "whole")
    assert same_weights(run, run.with_name("whole"))


def actions_of(path: Path) -> bytes:
    with h5py.File(path) as file:
        return np.asarray(file["actions"]).tobytes()
