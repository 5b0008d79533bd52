"""Closed, broken and full streams, as the shell hands them to a command."""

import os
import subprocess
import sys

import pytest

from tests.processes import ENVIRONMENT

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
