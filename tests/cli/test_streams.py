"""Closed, broken and full streams, as the shell hands them to a command."""

import fcntl
import os
import select
import subprocess
import sys

import pytest

from tests.processes import ENVIRONMENT, until

pytestmark = pytest.mark.slow


def shell(tmp_path, line: str) -> subprocess.CompletedProcess:
    """Run a line of shell in which ``seqrl`` is this package's command."""
    function = f'set -o pipefail; seqrl() {{ "{sys.executable}" -m seqrl_cli "$@"; }}\n'
    environment = {**ENVIRONMENT, "SEQRL_RUNS": str(tmp_path / "runs"), "PYTHONPATH": os.getcwd()}
    return subprocess.run(["bash", "-c", function + line], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path, closed):
    done = shell(tmp_path, f"seqrl runs {closed}")
    assert done.returncode == 0, done.stderr
    assert ("nothing in" in done.stdout) is (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("words", ["--help", "train --help", "presets", "--show-completion bash"])
def test_a_reader_that_leaves_early_is_no_error(tmp_path, words):
    done = shell(tmp_path, f"seqrl {words} | true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", ["info nosuch --json", "info nosuch", "train --jsn", "plan --json --nope"])
def test_an_error_that_nobody_reads_keeps_its_exit_code(tmp_path, words):
    done = shell(tmp_path, f"(seqrl {words}; echo $? >&2) | true")
    assert done.stderr.splitlines()[-1] == "2" and "error: " in done.stderr


@pytest.mark.parametrize("words", ["--version", "train --help", "--show-completion bash", "runs", "presets --json"])
def test_a_full_stdout_is_told_in_a_sentence(tmp_path, words):
    done = shell(tmp_path, f"seqrl {words} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: cannot write the result: No space left on device",
        "hint: check where stdout is written to",
    ]


def test_a_full_stderr_stops_no_work(tmp_path):
    words = "collect hopper --policy random -n 200 --name mine --workers 1"
    done = shell(tmp_path, f"seqrl {words} 2> /dev/full")
    assert done.returncode == 0 and "200 transitions" in done.stdout


@pytest.mark.parametrize("kilobytes, code", [(100_000, 1), (300_000, 1), (900_000, 1), (1_500_000, 0)])
def test_too_little_address_space_is_told_in_a_sentence(tmp_path, kilobytes, code):
    done = shell(tmp_path, f"ulimit -v {kilobytes}; OPENBLAS_NUM_THREADS=1 seqrl download sim/hopper-random --dry-run")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr
    if code:
        assert "of memory, less than the 1.0 GB that its libraries need" in done.stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("ModuleNotFoundError('no module')", None),
        ("KeyError('a')", None),
        ("ImportError('libx.so: failed to map segment')", "out of memory"),
        ("ImportError('a library cannot start')", "out of memory"),
    ],
)
def test_a_limit_of_memory_is_no_reason_to_call_every_error_a_lack_of_it(tmp_path, error, told):
    code = f"from seqrl_cli.cli.machine import machine_fault; print(machine_fault({error}))"
    done = shell(tmp_path, f'ulimit -v {64 * 2**20}; {sys.executable} -c "{code}"')
    assert done.stdout.strip() == str(told), done.stderr


def test_a_removed_current_folder_is_told_in_a_sentence(tmp_path):
    done = shell(tmp_path, "mkdir gone; cd gone; rmdir ../gone; seqrl runs")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: the current folder was removed")


def test_a_stream_that_is_not_waited_for_loses_nothing(tmp_path):
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write, False)
    command = [sys.executable, "-m", "seqrl_cli", "train", "--help"]
    whole = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(whole.encode()) > 8192
    process = subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    until(lambda: select.select([read], [], [], 0)[0], 120)
    with open(read) as stream:
        assert stream.read() == whole
    assert process.communicate()[1] == b"" and process.returncode == 0
