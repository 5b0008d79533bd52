from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from seqrl_cli.training.metrics import Metrics, append_metrics, read_metrics, rewind_metrics


def metrics(step: int) -> Metrics:
    return Metrics(step, step / 10, 2.5, None if step % 2 else 2.75, 6e-4, 18_000.0, step * 0.5)


def test_reads_what_was_appended(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    assert read_metrics(path) == []
    for step in (1, 2):
        append_metrics(path, metrics(step))
    assert read_metrics(path) == [metrics(1), metrics(2)]


def test_rewinding_drops_later_steps_and_a_cut_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (5, 10, 15):
        append_metrics(path, metrics(step))
    with path.open("a") as file:
        file.write('{"step": 20, "epo')
    assert [record.step for record in read_metrics(path)] == [5, 10, 15]
    rewind_metrics(path, 10)
    append_metrics(path, metrics(15))
    assert [record.step for record in read_metrics(path)] == [5, 10, 15]


def test_rewinding_nothing(tmp_path):
    rewind_metrics(tmp_path / "absent.jsonl", 10)
    assert not list(tmp_path.iterdir())


BAD_LINES = {
    "cut": '{"step": 7, "epo',
    "empty": "",
    "a list": "[1, 2]",
    "a number": "3",
    "other keys": '{"step": 7, "accuracy": 0.5}',
    "a key too many": json.dumps({**asdict(metrics(7)), "accuracy": 0.5}),
    "a step that is text": json.dumps({**asdict(metrics(7)), "step": "7"}),
    "a step that is a fraction": json.dumps({**asdict(metrics(7)), "step": 7.5}),
    "a loss that is missing": json.dumps({**asdict(metrics(7)), "loss": None}),
    "not text": "\udcff\udcfe",
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_hides_no_other_and_goes_with_the_next_resume(tmp_path, name):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, metrics(5))
    with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(BAD_LINES[name] + "\n")
    for step in (10, 15):
        append_metrics(path, metrics(step))
    assert read_metrics(path) == [metrics(5), metrics(10), metrics(15)]
    rewind_metrics(path, 10)
    assert read_metrics(path) == [metrics(5), metrics(10)]
    assert len(path.read_text().splitlines()) == 2
