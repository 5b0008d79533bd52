"""A tracker has a process of its own, and whatever that does, the run goes on."""

from __future__ import annotations

import sys
import time

import pytest

from seqrl_cli.tracking import process
from seqrl_cli.tracking.process import Command, processes_beside

PRINTS = "import sys; sys.stdin.read(); print('ended')"
FAILS = "import sys; print('error: no account', file=sys.stderr); sys.exit(1)"
HANGS = "import time; time.sleep(1e6)"

pytestmark = pytest.mark.slow


def beside(folder, program: str, patience: float = 60) -> list[str]:
    warnings: list[str] = []
    with processes_beside(
        folder, [Command("t", [sys.executable, "-c", program], "seqrl runs track r")], warnings.append, patience
    ):
        pass
    return warnings


def test_its_stdin_closes_when_the_run_is_over(tmp_path):
    assert beside(tmp_path, PRINTS) == []
    assert (tmp_path / "t" / "log.txt").read_text() == "ended\n"


def test_one_that_fails_is_a_warning(tmp_path):
    rest = "the run itself is not affected, and `seqrl runs track r` sends the rest"
    assert beside(tmp_path, FAILS) == [f"t failed: no account; {rest}"]


def test_one_that_hangs_is_ended(tmp_path):
    start = time.monotonic()
    (warning,) = beside(tmp_path, HANGS, patience=0.5)
    assert warning.startswith("t was not ready 0 s after the run had ended")
    assert time.monotonic() - start < 60


def test_a_wait_is_announced(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_MOMENT", 0.1)
    notes: list[str] = []
    commands = [Command("push", [sys.executable, "-c", HANGS], "")]
    with processes_beside(tmp_path, commands, lambda text: None, 0.5, notes.append):
        pass
    assert notes == ["waiting at most 0 s for push to finish …"]


def test_one_that_cannot_start_is_a_warning(tmp_path):
    warnings: list[str] = []
    with processes_beside(tmp_path, [Command("t", ["/no/such/program"], "")], warnings.append):
        pass
    assert len(warnings) == 1 and warnings[0].startswith("t could not be started")


def test_an_error_of_the_run_is_not_hidden(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        processes_beside(tmp_path, [Command("t", [sys.executable, "-c", FAILS], "")], lambda text: None),
    ):
        raise ZeroDivisionError
