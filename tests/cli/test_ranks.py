"""``seqrl train`` in several processes, and with others beside it, as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from seqrl_cli.runs.record import read_record
from seqrl_cli.tracking.metrics import read_training_lines
from tests.cli.conftest import TINY_MODEL, TINY_TRAIN, assert_refused, invoke, succeed
from tests.processes import ENVIRONMENT, start, until, wait_for

pytestmark = pytest.mark.slow

TRAIN = ("train", "sim/hopper-medium", *TINY_TRAIN, "--device", "cpu")
FOREVER = ("train.updates=100000", "train.batch_size=8", "train.checkpoint_every=10", "train.log_every=10")


def weights(runs: Path, name: str) -> bytes:
    return (runs / "sim/hopper-medium" / name / "checkpoints/00000004/model.safetensors").read_bytes()


def outcome(process: subprocess.Popen) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def started_by_hand(words: list[tuple[str, ...]], meeting: Path) -> list[subprocess.Popen]:
    """One process per command line, as torchrun would start them."""
    shared = {"WORLD_SIZE": str(len(words)), "LOCAL_WORLD_SIZE": str(len(words)), "GLOO_SOCKET_IFNAME": "lo"}
    started = []
    for rank, own in enumerate(words):
        place = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "SEQRL_RENDEZVOUS": meeting.as_uri()}
        command = [sys.executable, "-m", "seqrl_cli", *own]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env={**ENVIRONMENT, **place}, stdout=pipe, stderr=pipe, text=True))
    return started


def test_devices_and_torchrun_train_the_same(runs):
    code, output, errors = outcome(start(runs, *TRAIN, "--name", "two", "--devices", "2", "--json"))
    assert code == 0, errors
    assert json.loads(output)["updates"] == 4
    assert "in 2 processes" in errors and errors.count("parameters") == 1
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "seqrl_cli", *TRAIN, "--name", "torchrun", "--runs-dir", str(runs)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert weights(runs, "two") == weights(runs, "torchrun")
    assert read_record(runs / "sim/hopper-medium/two/run.json").ranks == 2


def test_the_same_command_again_keeps_a_finished_run_and_force_replaces_it(runs):
    words = (*TRAIN, "--devices", "2")
    code, _, errors = outcome(start(runs, *words, "--force"))
    assert code == 0, errors
    before = weights(runs, "gpt-s42")
    code, _, errors = outcome(start(runs, *words))
    assert code == 0 and "is already trained" in errors
    assert weights(runs, "gpt-s42") == before


def test_a_signal_saves_and_the_same_command_resumes(runs):
    words = ("train", "sim/hopper-medium", *TINY_MODEL, *FOREVER, "--name", "stopped", "--devices", "2")
    run = runs / "sim/hopper-medium/stopped"
    process = start(runs, *words)
    wait_for(process, run / "checkpoints/00000010")
    process.send_signal(signal.SIGTERM)
    code, _, errors = outcome(process)
    assert code == 130 and errors.count("a checkpoint was saved") == 1, errors
    assert read_record(run / "run.json").status == "interrupted"
    saved = int((run / "checkpoints/last").read_text().strip())
    again = start(runs, *words)
    until(lambda: again.poll() is not None or int((run / "checkpoints/last").read_text().strip()) > saved, 300)
    again.send_signal(signal.SIGTERM)
    assert outcome(again)[0] == 130
    steps = [line.step for line in read_training_lines(run / "metrics.jsonl")]
    assert steps == sorted(set(steps)) and steps[-1] > saved


def test_no_process_outlives_a_killed_start(runs):
    words = ("train", "sim/hopper-medium", *TINY_MODEL, *FOREVER, "--name", "killed", "--devices", "2")
    run = runs / "sim/hopper-medium/killed"
    process = start(runs, *words)
    wait_for(process, run / "checkpoints/00000010")
    process.kill()
    process.communicate(timeout=600)  # their stderr closes when all have ended
    assert read_record(run / "run.json").status == "interrupted"


def test_processes_with_other_settings_are_refused_and_named(runs, tmp_path):
    place = ("--name", "x", "--runs-dir", str(runs))
    words = [(*TRAIN, *place, f"train.learning_rate={rate}") for rate in ("0.1", "0.5")]
    found = [outcome(one) for one in started_by_hand(words, tmp_path / "meeting")]
    here = socket.gethostname()
    expected = f"error: rank 1 on {here} has train.learning_rate 0.5, but rank 0 on {here} has 0.1"
    assert found[0][0] == 1 and expected in found[0][2], found
    assert found[1] == (1, "", ""), found
    assert not (runs / "sim/hopper-medium/x").exists()


def test_a_process_with_other_data_is_named(runs, tmp_path):
    """Its node has a run directory of its own, with another dataset of the same name."""
    other = tmp_path / "other"
    succeed(other, "download", "sim/hopper-medium", "data.transitions=1200")
    places = [(*TRAIN, "--name", "x", "--runs-dir", str(root)) for root in (runs, other)]
    found = [outcome(one) for one in started_by_hand(places, tmp_path / "meeting")]
    assert found[0][0] == 1 and "has data with fingerprint" in found[0][2], found
    assert found[1] == (1, "", ""), found


def test_a_batch_that_cannot_be_divided_is_refused(runs):
    result = invoke(runs, *TRAIN, "--name", "three", "--devices", "3")
    assert_refused(result, 2, "train.batch_size is 8, which 3 processes cannot divide evenly", "--batch-size 6 or")


def test_a_dry_run_states_the_share_of_each_process(runs):
    result = succeed(runs, *TRAIN, "--name", "two", "--devices", "2", "--dry-run")
    assert "windows per process and update  4" in result.stdout


@pytest.mark.parametrize("command", ["finetune", "continual", "finetune-online"])
def test_commands_of_one_process_say_so_under_torchrun(runs, command, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert_refused(invoke(runs, command, "x"), 2, f"{command} computes in one process, but 2 were started", "torchrun")


def test_trackers_and_pushes_leave_no_trace_in_the_weights(runs, tmp_path):
    url = (tmp_path / "there").as_uri()
    plain = outcome(start(runs, *TRAIN, "--name", "plain"))
    names = "tests.tracking.fakes:Notes,tests.tracking.fakes:Raising"
    code, _, errors = outcome(start(runs, *TRAIN, "--name", "followed", "--track", names, "--push", url))
    assert plain[0] == 0, plain[2]
    assert code == 0, errors
    assert weights(runs, "plain") == weights(runs, "followed")
    assert "Raising failed: " in errors and "nobody answers" in errors
    trackers = runs / "sim/hopper-medium/followed/trackers"
    told = [json.loads(line) for line in (trackers / "tests.tracking.fakes-Notes/notes.jsonl").read_text().splitlines()]
    assert [note[1] for note in told if note[0] == "log"] == [1, 2, 3, 4] and told[-1] == ["end", "finished"]
    succeed(tmp_path / "again", "runs", "pull", url)
    assert weights(tmp_path / "again", "followed") == weights(runs, "plain")
    assert read_record(tmp_path / "again/sim/hopper-medium/followed/run.json").status == "finished"


def test_a_url_without_rights_is_a_warning(runs, tmp_path):
    if os.geteuid() == 0:
        (tmp_path / "there").write_text("")  # root may write anywhere but below a file
    else:
        (tmp_path / "there").mkdir(mode=0o500)
    url = (tmp_path / "there" / "below").as_uri()
    code, _, errors = outcome(start(runs, *TRAIN, "--name", "followed", "--push", url))
    assert code == 0 and "warning: push failed" in errors, errors
    by_hand = f"seqrl runs push {runs / 'sim/hopper-medium/followed'} {url} --runs-dir {runs}"
    assert f"the run itself is not affected, and `{by_hand}` sends the rest" in errors
