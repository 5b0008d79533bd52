import subprocess
import sys

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.lock import locked

HOLD = """
import sys
from pathlib import Path
from seqrl_cli.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_second_writer_is_refused_and_told_who_holds_it(tmp_path, other_process):
    with (
        pytest.raises(SeqrlError, match=f"in use by another seqrl \\(process {other_process.pid}\\)"),
        locked(tmp_path),
    ):
        raise AssertionError("the lock was given twice")


def test_lock_of_a_killed_process_is_free(tmp_path, other_process):
    other_process.kill()
    other_process.wait()
    with locked(tmp_path):
        assert (tmp_path / ".lock-holder").read_text() != str(other_process.pid)


def test_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_block_that_fails_without_writing_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "runs/sim/hopper"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_block_that_fails_after_writing_keeps_what_it_wrote(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "runs/hopper"):
        (tmp_path / "runs/hopper/part").write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "runs/hopper/part").read_text() == "half"


def test_who_waits_for_a_lock_that_vanishes_gets_it(tmp_path):
    folder = tmp_path / "runs/hopper"
    lines = []

    def fail_before_waiting(text):
        lines.append(text)
        process.communicate("")  # ends with an error, and removes the folder

    program = HOLD + "    raise SystemExit(1)\n"
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with locked(folder, on_wait=fail_before_waiting):
        assert (folder / ".lock").exists() and "waiting for another seqrl" in lines[0]
