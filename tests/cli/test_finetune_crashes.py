"""``finetune-online`` in an environment that takes its process with it, hangs, or raises."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import invoke, succeed
from tests.cli.fragile_tuning import TUNE, assert_whole, make_fragile_runs, tuned
from tests.envs.fragile import mend, plot_mischief
from tests.processes import ENVIRONMENT, children, is_running, start, until, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def runs(made_once, tmp_path, monkeypatch) -> Path:
    """A copy of the fragile runs that a test may change."""
    monkeypatch.setenv("FRAGILE", str(tmp_path))
    monkeypatch.setitem(ENVIRONMENT, "FRAGILE", str(tmp_path))
    return Path(shutil.copytree(made_once("fragile", make_fragile_runs), tmp_path / "runs"))


@pytest.mark.parametrize(("what", "reset"), [("abort", 1), ("kill", 5)])  # in the first evaluation, in exploration
def test_a_process_that_dies_changes_nothing(runs, what, reset):
    plot_mischief(what, step=5, reset=reset)
    told = succeed(runs, *TUNE)
    assert told.stderr.count("warning:") == 1 and "in step 5: it is started again" in told.stderr
    assert_whole(runs)
    assert not children()


@pytest.mark.parametrize(
    ("what", "says"),
    [("abort", "died of signal 6 (SIGABRT) in step 5, and so did the next one"), ("raise", "a gear is missing")],
)
@pytest.mark.parametrize(("reset", "does"), [(1, "starts over; nothing was saved"), (7, "resumes")])
def test_what_cannot_go_on_is_told_and_goes_on_when_it_is_mended(runs, what, says, reset, does):
    plot_mischief(what, step=5, reset=reset, once=False)
    told = invoke(runs, *TUNE)
    assert told.exit_code == 1 and told.stderr.count("error:") == 1 and says in told.stderr
    assert f"hint: once that is fixed, the same command {does}" in told.stderr
    assert json.loads((tuned(runs) / "run.json").read_text())["status"] == "failed" and not children()
    mend()
    succeed(runs, *TUNE)
    assert_whole(runs)
    assert not children()


def test_ctrl_c_ends_the_waiting_for_an_environment_that_hangs(runs, tmp_path):
    plot_mischief("hang", step=5, reset=7)
    process = start(runs, *TUNE)
    wait_for(process, tmp_path / "hangs")
    until((tmp_path / "hangs").read_text)
    pid = int((tmp_path / "hangs").read_text())

    for _ in range(2):  # the first waits for the end of the step
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in errors and not is_running(pid)
    succeed(runs, *TUNE)
    assert_whole(runs)
    assert not children()


def test_no_environment_outlives_a_killed_program(runs):
    process = start(runs, *TUNE, "--iterations", "100000")
    wait_for(process, tuned(runs) / "checkpoints/00000010")
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(listed) == 2 and all(is_running(int(pid)) for pid in listed)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not any(is_running(int(pid)) for pid in listed), seconds=20)
