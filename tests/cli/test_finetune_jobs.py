"""``finetune-online --jobs``: several processes share the episodes, and the run stays the same to the bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from seqrl_cli.tracking.metrics import read_online_lines
from tests.cli.conftest import assert_refused, invoke, succeed
from tests.cli.fragile_tuning import TUNE, assert_whole, make_fragile_runs, tuned
from tests.cli.weights import same_weights
from tests.envs.fragile import FRAGILE, mend, plot_mischief
from tests.processes import ENVIRONMENT, is_running, start, until, wait_for

pytestmark = pytest.mark.slow

PLAYED = f"a process that played {FRAGILE} died of signal 9 (SIGKILL)"


@pytest.fixture
def runs(made_once, tmp_path, monkeypatch) -> Path:
    """A copy of the fragile runs that a test may change."""
    monkeypatch.setenv("FRAGILE", str(tmp_path))
    monkeypatch.setitem(ENVIRONMENT, "FRAGILE", str(tmp_path))
    return Path(shutil.copytree(made_once("fragile", make_fragile_runs), tmp_path / "runs"))


def workers(command: int) -> list[psutil.Process]:
    """The living processes that play for a command."""
    found = []
    for one in psutil.Process(command).children():
        with suppress(psutil.NoSuchProcess):  # it has ended
            found += [one] if any("spawn_main" in word for word in one.cmdline()) else []
    return found


def test_any_number_of_processes_makes_the_same_run(runs):
    told = succeed(runs, *TUNE, "--jobs", 9)  # more than there are episodes
    assert "3 processes share the episodes" in told.stderr
    assert_whole(runs)
    facts = json.loads(succeed(runs, *TUNE, "--name", "other", "--jobs", 2, "--dry-run", "--json").stdout)
    assert facts["processes"] == 2 and not tuned(runs, "other").exists()


def test_a_killed_process_is_replaced_and_another_number_resumes(runs):
    process = start(runs, *TUNE, "--jobs", "2", "--iterations", "100000")
    wait_for(process, tuned(runs) / "checkpoints/00000010")
    first, second = workers(process.pid)
    assert first.environ()["OMP_NUM_THREADS"] == "1"
    first.kill()
    until(lambda: len({one.pid for one in workers(process.pid)} - {first.pid, second.pid}) == 1)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "everything was saved" in errors, errors
    assert errors.count("warning:") == 1 and f"{PLAYED}: it is started again" in errors and not is_running(second.pid)
    more = read_online_lines(tuned(runs) / "metrics.jsonl")[-1].iteration + 6  # more than the whole run has
    for name, jobs in (("odt-s42-online", 3), ("whole", 1)):
        succeed(runs, *TUNE, "--name", name, "--iterations", more, "--jobs", jobs)
    assert same_weights(tuned(runs), tuned(runs, "whole"))


def test_an_episode_that_kills_its_process_is_played_again(runs):
    plot_mischief("kill the parent", step=5, reset=9)
    told = succeed(runs, *TUNE, "--jobs", 2)
    assert told.stderr.count("warning:") == told.stderr.count(f"{PLAYED}: it is started again") >= 1
    assert_whole(runs)


@pytest.mark.parametrize(
    ("what", "says", "hint"),
    [
        ("kill the parent", f"{PLAYED}, and so did the next one", "fewer --jobs need less memory"),
        ("abort", "died of signal 6 (SIGABRT) in step 5, and so did the next one", "PYTHONFAULTHANDLER"),
        ("raise", f"environment {FRAGILE} failed in a step: ValueError: a gear is missing", "SEQRL_DEBUG=1"),
    ],
)
def test_what_cannot_go_on_is_told_and_goes_on_when_it_is_mended(runs, what, says, hint):
    plot_mischief(what, step=5, reset=9, once=False)
    told = invoke(runs, *TUNE, "--jobs", 2)
    assert_refused(told, 1, says, f"once that is fixed, the same command resumes; {hint}")
    mend()
    succeed(runs, *TUNE)
    assert_whole(runs)


def test_ctrl_c_does_not_wait_for_an_environment_that_hangs(runs, tmp_path):
    plot_mischief("hang", step=5, reset=9)
    process = start(runs, *TUNE, "--jobs", "2")
    wait_for(process, tmp_path / "hangs")
    until((tmp_path / "hangs").read_text)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "everything was saved" in errors
    until(lambda: not is_running(int((tmp_path / "hangs").read_text())))
    succeed(runs, *TUNE, "--jobs", 2)
    assert_whole(runs)


def test_no_process_outlives_a_killed_program(runs):
    process = start(runs, *TUNE, "--jobs", "2", "--iterations", "100000")
    wait_for(process, tuned(runs) / "checkpoints/00000010")
    everyone = [one.pid for each in workers(process.pid) for one in (each, *each.children())]
    assert len(everyone) == 4  # each with its environments in a process of their own
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not any(map(is_running, everyone)), seconds=20)


def test_what_is_refused(runs):
    assert_refused(invoke(runs, *TUNE, "--on", "slurm"), 2, "unknown place 'slurm'", "local")
    assert_refused(invoke(runs, *TUNE, "--address", "n1:6379"), 2, "--address is not for --on local", "ray")
    assert not tuned(runs).exists()
