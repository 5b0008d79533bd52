from __future__ import annotations

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
