"""What the console does on a real terminal: bars with rate and time left, and lines that stay whole above them."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from seqrl_cli.console import Console, byte_size, with_error
from seqrl_cli.console.text import wrapped

PROGRAM = """
import time
from seqrl_cli.console import Console
from seqrl_cli.console.text import wrapped
console = Console()
with console.progress("working on odt-s1-online", "steps") as update:
    for done in range(1, 31):
        update(done, 30, "return 11 · buffer 13 · steps 47,712")
        time.sleep(0.01)
        if done == 15:
            console.note("a line in between")
print("result")
"""


def run_on_terminal(program: str = PROGRAM) -> str:
    """Everything that a program wrote to a pseudo-terminal of 80 columns, control codes removed."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    written = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # how Linux says that the other side was closed
            break
        if not piece:
            break
        written += piece
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode()).replace("\r", "\n")


def test_bars_have_rate_and_time_left_and_lines_stay_whole():
    lines = [line.strip() for line in run_on_terminal().splitlines()]
    bars = [line for line in lines if line.startswith("working")]
    assert any("30/30" in line and "steps/s" in line and line.endswith(" s left") for line in bars)
    assert not any("…" in line for line in lines) and "return 11 · buffer 13 · steps 47,712" in lines
    assert "a line in between" in lines
    assert lines[-1] == "result" or "result" in lines


def test_a_long_label_is_cut_and_not_the_numbers_beside_it():
    program = PROGRAM.replace("odt-s1-online", "a-name-of-many-words-and-numbers").replace("30, ", "100_000, ")
    bars = [line for line in run_on_terminal(program).splitlines() if line.startswith("working")]
    assert any("… ━" in line and "30/100,000 " in line and " left" in line for line in bars), bars


def test_no_bar_where_stderr_is_no_terminal():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr == "a line in between\n"
    assert done.stdout == "result\n"


def test_progress_without_a_terminal_is_a_line_now_and_then():
    stderr = io.StringIO()
    with Console(stderr=stderr, line_seconds=0.0).progress("training", "updates") as update:
        update(100, 400)
        update(200, 400, "loss 0.5")
    first, *later = stderr.getvalue().splitlines()
    assert first.startswith("training: 100 of 400 updates")
    assert later[0].startswith("training: 200 of 400 updates, ") and "updates/s" in later[0]
    assert " left, loss 0.5" in later[0]


def test_progress_without_a_terminal_is_sparse_and_silent_when_quiet():
    for console in (Console(stderr=io.StringIO()), Console(stderr=io.StringIO(), line_seconds=0.0, quiet=True)):
        with console.progress("training", "updates") as update:
            update(100, 400)
            update(200, 400)
        assert console.stderr.getvalue() == ""


def test_numbers_without_a_word_in_json_are_null():
    stdout = io.StringIO()
    Console(as_json=True, stdout=stdout).emit({"loss": float("nan"), "all": [1.0, float("inf")]})
    assert json.loads(stdout.getvalue()) == {"loss": None, "all": [1.0, None]}


def test_facts_read_as_a_person_says_them():
    stdout = io.StringIO()
    Console(stdout=stdout).show_facts({"updates": 1200, "seed": 1200, "there": True, "env": None})
    assert [line.split() for line in stdout.getvalue().splitlines()] == [
        ["updates", "1,200"],
        ["seed", "1200"],
        ["there", "yes"],
        ["env", "–"],
    ]
    assert (byte_size(310), byte_size(7_800), byte_size(2.5e9)) == ("310 B", "7.8 kB", "2.5 GB")


def test_sizes_take_the_next_unit_where_rounding_reaches_it():
    sizes = (999.4, 999.6, 999_949, 999_960, 999_949_999, 999_999_999, 0)
    assert [byte_size(size) for size in sizes] == ["999 B", "1.0 kB", "999.9 kB", "1.0 MB", "999.9 MB", "1.0 GB", "0 B"]


def test_rows_fold_where_there_is_little_room_and_become_paragraphs_where_there_is_less(monkeypatch):
    header, rows = ["run", "status", "updated"], [["sim/hopper-medium/gpt-s42", "finished", "2026-11-21 10:24"]]
    shown = {}
    for width in (80, 50, 30):
        monkeypatch.setenv("COLUMNS", str(width))
        stdout = io.StringIO()
        Console(stdout=stdout).show_rows(header, rows)
        shown[width] = stdout.getvalue()
        assert all(part in shown[width] for part in ("sim/hopper-medium/gpt-s42", "finished", "2026-11-21", "10:24"))
    assert "2026-11-21 10:24" in shown[80] and "2026-11-21 10:24" not in shown[50]
    assert shown[30].splitlines()[1:] == ["  status: finished", "  updated: 2026-11-21 10:24"]


def test_huge_values_of_others_leave_messages_readable():
    stdout, stderr = io.StringIO(), io.StringIO()
    console = Console(as_json=True, stdout=stdout, stderr=stderr)
    huge = "begin " + "\x1b" * 5000 + " end"
    console.warn(huge)
    console.fail(huge, huge, 1)
    lines = stderr.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning", "error", "hint"]
    assert all(len(line) < 2000 and ": begin" in line and " … " in line and line.endswith(" end") for line in lines)
    said = json.loads(stdout.getvalue())
    assert len(said["error"]) < 2000 and len(said["hint"]) < 2000


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")
def test_results_that_cannot_be_written_are_an_error_in_one_sentence():
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for words in (("presets",), ("presets", "--json")):
        command = [sys.executable, "-m", "seqrl_cli", *words]
        with open("/dev/full", "w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=buffered)
        assert done.returncode == 1 and done.stderr.startswith(b"error: cannot write the result: No space")
        assert b"Exception" not in done.stderr


@pytest.mark.slow
def test_a_terminal_without_unicode_shows_what_it_can():
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-m", "seqrl_cli", "presets"], env=environment, capture_output=True)
    assert done.returncode == 0 and b"hopper-medium-v2" in done.stdout and b"?" in done.stdout


def test_foreign_words_add_no_lines():
    stderr = io.StringIO()
    console = Console(stderr=stderr)
    console.fail("environment 'a\nerror: b' failed", "name it:\r\nhint: c", 1)
    console.warn("x\n\n  y")
    console.note("z\nz\n")
    expected = ["error: environment 'a error: b' failed", "hint: name it: hint: c", "warning: x y", "z z"]
    assert stderr.getvalue().splitlines() == expected


def test_long_lines_are_broken_between_words_but_commands_stay_whole():
    text = "planning 2 episodes of Pendulum-v1 with runs/local/pendulum/bc-s42: 2 at once"
    assert wrapped(text, 80) == text
    assert wrapped(text, 40).splitlines() == [
        "planning 2 episodes of Pendulum-v1 with",
        "  runs/local/pendulum/bc-s42: 2 at once",
    ]
    assert wrapped(f"{text}; seqrl runs", 40) == f"{text}; seqrl runs"
    forged = wrapped("no file is named 'a very long name with error: gone'", 40).splitlines()
    assert len(forged) == 2 and forged[1].startswith("  ")


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (2125.13, 3.24, "2,125.1 ± 3.2"),
        (4.78123, 0.009828, "4.7812 ± 0.0098"),
        (22.0, 0.7071, "22.0 ± 0.7"),
        (0.025, 0.00559, "0.0250 ± 0.0056"),
        (-0.01, 0.1, "0.0 ± 0.1"),
        (0.0123, 0.0, "0.0123 ± 0.0"),
        (5.0, 0.0, "5.0 ± 0.0"),
        (1e15, 2.0, "1e+15 ± 2.0"),
        (1.5, 1e-12, "1.5 ± 1e-12"),
        (0.5, None, "0.5"),
    ],
)
def test_means_and_errors_have_equally_many_decimals(mean, error, text):
    assert with_error(mean, error) == text
