import errno
import os
import subprocess
import sys
import threading

import pytest

from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.lock import FOREVER, is_locked, locked
from tests.processes import lockless, without_locks

pytestmark = pytest.mark.slow

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
        locked(tmp_path, patience=0),
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


def test_a_folder_that_somebody_else_moves_away_is_an_error(tmp_path):
    with pytest.raises(SeqrlError, match="removed or renamed"), locked(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "elsewhere")
    with locked(tmp_path / "run", moves=True):
        (tmp_path / "run").rename(tmp_path / "ours")


def test_who_waits_for_a_lock_that_vanishes_gets_it(tmp_path):
    folder = tmp_path / "runs/hopper"
    lines = []

    class Impatient(Console):
        def note(self, text):
            lines.append(text)
            process.communicate("")  # ends with an error, and removes the folder

    program = HOLD + "    raise SystemExit(1)\n"
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with locked(folder, Impatient(), FOREVER):
        assert (folder / ".lock").exists() and "waiting for another seqrl" in lines[0]


def test_a_writer_that_ends_soon_is_waited_for(tmp_path, other_process, capsys):
    threading.Timer(0.5, other_process.kill).start()
    with locked(tmp_path, Console()) as waited:
        assert waited
    told = f"waiting for up to 10 s for another seqrl (process {other_process.pid}) that is using {tmp_path}"
    assert told in capsys.readouterr().err


ASK = """
import sys
from pathlib import Path
from seqrl_cli.runs.lock import is_locked
print("asking", flush=True)
while True:
    is_locked(Path(sys.argv[1]))
"""


def test_asking_never_disturbs_the_writer(tmp_path):
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    askers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for asker in askers:
            assert asker.stdout.readline() == "asking\n"
        for _ in range(1500):
            with locked(tmp_path, patience=0):
                assert is_locked(tmp_path)
            assert not is_locked(tmp_path)
    finally:
        for asker in askers:
            asker.kill()
            asker.communicate()


@pytest.mark.parametrize("name", [".lock", ".lock-holder"])
def test_the_lock_is_written_through_no_link(tmp_path, name):
    folder, precious = tmp_path / "run", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("mine")
    (folder / name).symlink_to(precious)
    try:
        with locked(folder, patience=0):
            pass
    except SeqrlError as error:
        assert name == ".lock" and "cannot write" in error.message
    assert precious.read_text() == "mine"


def test_a_pipe_in_place_of_the_holder_hangs_nobody(tmp_path):
    os.mkfifo(tmp_path / ".lock-holder")
    assert not is_locked(tmp_path)
    with locked(tmp_path, patience=0):
        assert is_locked(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, 524])
def test_without_locks_work_goes_on_with_one_warning(tmp_path, number):
    words = ["collect", "hopper", "--policy", "random", "-n", "200", "--name", "mine", "--workers", "1"]
    done = without_locks(number, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("has no locks") == 1
    assert (tmp_path / "mine/dataset.h5").exists()
    assert without_locks(number, tmp_path, "info", "mine").returncode == 0


def test_without_locks_a_living_writer_is_still_seen(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=lockless(37), text=True)
    assert holder.stdout.readline() == "held\n"
    assert is_locked(tmp_path)
    holder.kill()
    holder.communicate()
    assert not is_locked(tmp_path)


RELEASE = """
import sys
from pathlib import Path
from seqrl_cli.runs.lock import locked
with locked(Path(sys.argv[1])):
    pass
print("released", flush=True)
sys.stdin.read()
"""


def test_without_locks_a_process_that_wrote_and_lives_on_is_no_writer(tmp_path):
    command = [sys.executable, "-c", RELEASE, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=lockless(37), text=True
    ) as process:
        assert process.stdout.readline() == "released\n"
        assert not is_locked(tmp_path)
        process.communicate()
