"""What the console does on a real terminal: bars with rate and time left, and lines that stay whole above them."""

import os
import pty
import re
import subprocess
import sys

PROGRAM = """
import time
from seqrl_cli.console import Console
console = Console()
with console.progress("working", "steps") as update:
    for done in range(1, 31):
        update(done, 30, "detail")
        time.sleep(0.01)
        if done == 15:
            console.note("a line in between")
print("result")
"""


def run_on_terminal() -> str:
    """Everything that the program wrote to a pseudo-terminal of 80 columns, control codes removed."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=slave, stderr=slave, env=environment)
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
    assert any("30/30" in line and "steps/s" in line and "detail" in line for line in bars)
    assert "a line in between" in lines
    assert lines[-1] == "result" or "result" in lines


def test_no_bar_where_stderr_is_no_terminal():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr == "a line in between\n"
    assert done.stdout == "result\n"
