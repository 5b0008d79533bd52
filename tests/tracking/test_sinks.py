from __future__ import annotations

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.loop import fit
from tests.training.fixtures import Recorder, pattern_windows, tiny_gpt, tiny_settings
from tests.training.resumable import train


@pytest.mark.slow
def test_every_sink_is_started_where_the_run_resumes_and_closed(tmp_path):
    questions = iter(range(100))
    first, second = Recorder(), Recorder()
    train(tmp_path, sinks=[first], should_stop=lambda: next(questions) == 6)
    assert first.calls == ["start 0", 3, 5, 6, "close"]
    train(tmp_path, sinks=[second])
    assert second.calls[:3] == ["start 7", 9, 10] and second.calls[-2:] == [23, "close"]


def test_sinks_are_closed_when_training_fails():
    recorder = Recorder()

    def fail(step: int, updates: int) -> None:
        if step == 4:
            raise SeqrlError("the disk is full", "…")

    with pytest.raises(SeqrlError, match="full"):
        fit(tiny_gpt(), pattern_windows(), pattern_windows(2, 9), tiny_settings(9), sinks=[recorder], on_progress=fail)
    assert recorder.calls == ["start 0", 3, "close"]


def test_a_log_that_cannot_be_written_stops_training(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(SeqrlError, match="metrics.jsonl"):
        train(tmp_path)
