"""What others see of a run: its lock on this machine, its heartbeats on another."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from seqrl_cli.runs.heartbeat import beating
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.record import host, now, read_record, write_heartbeat, write_record
from seqrl_cli.runs.status import run_status, unfinished
from tests.runs.records import make_run


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(make_run(tmp_path, "d", "r").parent)


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def recorded(run: RunFolder, **changes):
    return read_record(run.record).model_copy(update={"status": "running", **changes})


def test_a_run_on_another_machine_was_heard_some_seconds_ago(run):
    status = run_status(run, recorded(run, host="n2", heard=ago(12)))
    assert (status.word, status.text) == ("running", "running on n2, heard 12 s ago")
    assert unfinished(run, recorded(run, host="n2", heard=ago(12))) == "is still training on n2"


def test_a_run_on_another_machine_that_is_silent_may_have_ended(run):
    record = recorded(run, host="n2", heard=ago(7200))
    assert run_status(run, record).text == "silent on n2, heard 2.0 h ago"
    assert unfinished(run, record) == "has not been heard of on n2 while training"


def test_before_the_first_sign_of_life_the_start_counts(run):
    assert run_status(run, recorded(run, host="n2", updated=ago(3))).text == "running on n2, heard 3 s ago"
    assert run_status(run, recorded(run, host="n2", updated="someday")).text == "silent on n2"


def test_a_clock_that_is_ahead_does_no_harm(run):
    assert run_status(run, recorded(run, host="n2", heard=ago(-30))).text == "running on n2, heard 0 s ago"


def test_on_this_machine_the_lock_decides(run):
    record = recorded(run, host=host(), heard=now())
    assert run_status(run, record).text == "killed"
    with locked(run.path):
        assert run_status(run, record).text == "running"
        assert run_status(run, recorded(run, host="n2", heard=ago(5))).text == "running on n2, heard 5 s ago"


def test_a_run_that_has_ended_is_as_it_is_recorded(run):
    record = recorded(run, status="finished", host="n2")
    assert run_status(run, record).text == "finished" and unfinished(run, record) is None


def test_signs_of_life_leave_the_rest_of_the_record(run):
    record = write_record(run.record, recorded(run))
    beaten = threading.Event()

    def write(time: str) -> None:
        write_heartbeat(run.record, record, time)
        beaten.set()

    with beating(write, seconds=0.001):
        assert beaten.wait(10)
    found = read_record(run.record)
    assert found.heard is not None and found.model_copy(update={"heard": None}) == record


def test_a_full_disk_stops_no_run():
    tried = threading.Semaphore(0)

    def write(time: str) -> None:
        tried.release()
        raise OSError("the disk is full")

    with beating(write, seconds=0.001):
        assert tried.acquire(timeout=10) and tried.acquire(timeout=10)
