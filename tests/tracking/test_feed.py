"""Trackers are fed from the log: each step once, never back."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqrl_cli.tracking.feed import Feed, FileLog, Results
from seqrl_cli.tracking.metrics import append_line, rewind
from seqrl_cli.tracking.trackers import TrackedRun
from tests.tracking.fakes import Notes, notes


def feed(folder: Path, run_id: str = "1") -> Feed:
    return Feed(
        TrackedRun(run_id, "d/r", "d", "p", folder, {"seed": 1}, {}), Notes(), FileLog(folder / "metrics.jsonl")
    )


def steps(folder: Path) -> list[int]:
    return [note[1] for note in notes(folder) if note[0] == "log"]


def test_lines_are_sent_as_they_come(tmp_path):
    one = feed(tmp_path)
    assert one.send() == 0
    append_line(tmp_path / "metrics.jsonl", 1, {"loss": 2.0, "validation_loss": None, "score": float("nan")})
    assert one.send() == 1 and one.send() == 0
    append_line(tmp_path / "metrics.jsonl", 2, {"loss": 1.0})
    assert one.send() == 1
    assert notes(tmp_path)[1:] == [["log", 1, {"loss": 2.0}], ["log", 2, {"loss": 1.0}]]


def test_a_run_that_resumes_sends_nothing_twice(tmp_path):
    for step in (1, 2, 3):
        append_line(tmp_path / "metrics.jsonl", step, {"loss": 1.0})
    feed(tmp_path).send()
    rewind(tmp_path / "metrics.jsonl", 1)
    again = feed(tmp_path)
    for step in (2, 3, 4):
        append_line(tmp_path / "metrics.jsonl", step, {"loss": 1.0})
        again.send()
    assert steps(tmp_path) == [1, 2, 3, 4]


def test_an_evaluation_shares_its_step_with_a_log_step(tmp_path):
    one = feed(tmp_path)
    append_line(tmp_path / "metrics.jsonl", 5, {"loss": 1.0})
    one.send()
    append_line(tmp_path / "metrics.jsonl", 5, {"evaluation_score": 50.0})
    assert one.send() == 1
    assert feed(tmp_path).send() == 0
    assert steps(tmp_path) == [5, 5]


def test_an_evaluation_that_ends_later_is_sent_once(tmp_path):
    one = feed(tmp_path)
    evaluation = {"evaluation_episodes": 1, "evaluation_return": 3.0}
    for step, values in ((5, {"loss": 1.0}), (9, {"loss": 1.0}), (5, evaluation)):
        append_line(tmp_path / "metrics.jsonl", step, values)
        assert one.send() == 1
    rewind(tmp_path / "metrics.jsonl", 5)
    for step, values in ((9, {"loss": 1.0}), (10, {"loss": 1.0}), (10, evaluation)):
        append_line(tmp_path / "metrics.jsonl", step, values)
    assert feed(tmp_path).send() == 2
    assert steps(tmp_path) == [5, 9, 5, 10, 10]


def test_another_run_of_the_same_name_starts_over(tmp_path):
    append_line(tmp_path / "metrics.jsonl", 5, {"loss": 1.0})
    feed(tmp_path).send()
    assert feed(tmp_path, "2").send() == 1


@pytest.mark.parametrize("content", ["", "[]", '{"id": 1}'])
def test_a_damaged_memory_starts_over(tmp_path, content):
    append_line(tmp_path / "metrics.jsonl", 5, {"loss": 1.0})
    (tmp_path / "sent.json").write_text(content)
    assert feed(tmp_path).send() == 1


def test_results_are_sent_when_they_change(tmp_path):
    video = tmp_path / "v.gif"
    video.write_bytes(b"1")
    one = feed(tmp_path)
    one.send_results(Results({"plan/a/score": 1.0}, {"videos/v.gif": video}))
    feed(tmp_path).send_results(Results({"plan/a/score": 1.0}, {"videos/v.gif": video}))
    video.write_bytes(b"22")
    feed(tmp_path).send_results(Results({"plan/a/score": 1.0}, {"videos/v.gif": video}))
    kinds = [note[0] for note in notes(tmp_path)]
    assert kinds.count("scores") == 1 and kinds.count("media") == 2
