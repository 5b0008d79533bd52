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
