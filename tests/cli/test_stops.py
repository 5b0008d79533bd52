"""How schedulers, containers and terminals end a command."""

import os
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import TINY_MODEL, TINY_ODT
from tests.processes import ENVIRONMENT, start, wait_for

pytestmark = pytest.mark.slow

FOREVER = ("train.updates=100000", "train.batch_size=8", "train.checkpoint_every=10", "train.log_every=10")
TRAIN = ("train", "sim/hopper-medium", *TINY_MODEL, *FOREVER, "--name", "stopped")


def assert_saved(process: subprocess.Popen, run) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "a checkpoint was saved" in errors
    assert '"status": "interrupted"' in (run / "run.json").read_text()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_every_signal_to_stop_saves_first(runs, name):
    run = runs / "sim/hopper-medium/stopped"
    process = start(runs, *TRAIN)
    wait_for(process, run / "checkpoints/00000010")
    process.send_signal(signal.Signals[name])
    assert_saved(process, run)


def test_a_terminal_that_closes_sends_the_signal_twice(runs):
    run = runs / "sim/hopper-medium/stopped"
    process = start(runs, *TRAIN)
    wait_for(process, run / "checkpoints/00000010")
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
    assert_saved(process, run)


def test_nohup_stays_in_force(runs):
    run = runs / "sim/hopper-medium/stopped"
    command = ["nohup", sys.executable, "-m", "seqrl_cli", *TRAIN, "--runs-dir", str(runs)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
    wait_for(process, run / "checkpoints/00000010")
    process.send_signal(signal.SIGHUP)
    wait_for(process, run / "checkpoints/00000060")
    process.send_signal(signal.SIGTERM)
    assert_saved(process, run)


def test_a_scheduler_that_signals_every_process(runs):
    """Slurm wakes a step's processes and ends all of them, environments too, and kills what is left later."""
    assert start(runs, "train", "sim/hopper-medium", *TINY_ODT, "--name", "odt").wait() == 0
    words = ("--iterations", "1000", "--envs", "2", "--updates", "3", "--threads", "1", "online.max_steps=12")
    command = ["finetune-online", "sim/hopper-medium/odt", *words, "online.eval_episodes=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "seqrl_cli", *command, "--runs-dir", str(runs)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run = runs / "sim/hopper-medium/odt-online"
    wait_for(process, run / "checkpoints/last")
    everyone = [process.pid, *descendants(process.pid)]
    for number in (signal.SIGCONT, signal.SIGTERM):
        for pid in everyone:
            os.kill(pid, number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert '"status": "interrupted"' in (run / "run.json").read_text()


def descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_a_container_in_which_it_is_the_first_process(runs):
    """Docker sends SIGTERM to process 1, for which the kernel has no default, and kills it after ten seconds."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode:
        pytest.skip("a namespace of processes needs root")
    run = runs / "sim/hopper-medium/stopped"
    command = ["unshare", "--pid", "--fork", sys.executable, "-m", "seqrl_cli", *TRAIN, "--runs-dir", str(runs)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(process, run / "checkpoints/00000010")
    (first,) = descendants(process.pid)
    os.kill(first, signal.SIGTERM)
    assert_saved(process, run)


AFTERWARDS = """
import os, signal
from seqrl_cli.cli.session import command_session
from seqrl_cli.stops import interrupt_on_stops
interrupt_on_stops()
with command_session() as console:
    console.show("the result")
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_stop_after_the_result_changes_no_exit_code():
    done = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the result\n", "")
