from __future__ import annotations

import json
import math

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.tracking.metrics import (
    append_line,
    last_validation_loss,
    lowest_validation_loss,
    read_online_lines,
    read_training_lines,
    rewind,
    validation_losses,
)

TRAINING = {"epoch": 0.5, "loss": 2.5, "validation_loss": None, "learning_rate": 6e-4, "elapsed": 1.5}
ONLINE = {"iteration": 0, "env_steps": 0, "loss": 0.5, "evaluation_return": 30.0, "elapsed": 1.5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def steps(path) -> list[int]:
    return [line.step for line in read_training_lines(path)]


def test_reads_what_was_appended(path):
    assert read_training_lines(path) == []
    for step in (1, 2):
        append_line(path, step, TRAINING | {"grad_norm": step / 10})
    first, second = read_training_lines(path)
    assert (first.step, first.loss, first.elapsed) == (1, 2.5, 1.5)
    assert first.get("validation_loss") is None and first.get("nll") is None
    assert second.number("grad_norm") == 0.2 and second.as_dict() == {"step": 2, **TRAINING, "grad_norm": 0.2}


def test_a_log_is_read_by_the_kind_of_its_lines(path):
    append_line(path, 4, TRAINING)
    append_line(path, 4, ONLINE)
    assert [line.loss for line in read_training_lines(path)] == [2.5]
    (line,) = read_online_lines(path)
    assert (line.step, line.iteration, line.env_steps, line.get("evaluation_return")) == (4, 0, 0, 30.0)


def test_numbers_that_are_not_finite_come_back(path):
    append_line(path, 1, TRAINING | {"loss": math.nan, "nll": -math.inf})
    (line,) = read_training_lines(path)
    assert math.isnan(line.loss) and line.get("nll") == -math.inf


def test_validation_losses_last_and_lowest(path):
    assert lowest_validation_loss(path) is None and last_validation_loss(read_training_lines(path)) is None
    for step, loss in enumerate([math.nan, 3.0, None, 2.0, 2.5, None], start=1):
        append_line(path, step, TRAINING | {"validation_loss": loss})
    assert [step for step, _ in validation_losses(path)] == [1, 2, 4, 5]
    assert lowest_validation_loss(path) == (4, 2.0)
    assert last_validation_loss(read_training_lines(path)) == 2.5


def test_losses_that_are_all_not_numbers_have_no_lowest(path):
    append_line(path, 1, TRAINING | {"validation_loss": math.nan})
    assert lowest_validation_loss(path) is None


def test_rewinding_drops_later_steps_and_a_cut_line(path):
    for step in (5, 10, 15):
        append_line(path, step, TRAINING)
    with path.open("a") as file:
        file.write('{"step": 20, "epo')
    assert steps(path) == [5, 10, 15]
    rewind(path, 10)
    append_line(path, 15, TRAINING)
    assert steps(path) == [5, 10, 15]


def test_rewinding_nothing(tmp_path):
    rewind(tmp_path / "absent.jsonl", 10)
    assert not list(tmp_path.iterdir())


NOT_UNDERSTOOD = {
    "cut": '{"step": 7, "epo',
    "empty": "",
    "a list": "[1, 2]",
    "a number": "3",
    "deep": "[" * 100_000,
    "other keys": '{"step": 7, "accuracy": 0.5}',
    "a step that is text": json.dumps(TRAINING | {"step": "7"}),
    "a step that is a fraction": json.dumps(TRAINING | {"step": 7.5}),
    "a loss that is missing": json.dumps(TRAINING | {"step": 7, "loss": None}),
    "a loss that is text": json.dumps(TRAINING | {"step": 7, "loss": "2.5"}),
    "not text": "\udcff\udcfe",
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_a_line_that_is_not_understood_hides_no_other_and_stays(path, name):
    append_line(path, 5, TRAINING)
    with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(NOT_UNDERSTOOD[name] + "\n")
    before = path.read_bytes()
    for step in (10, 15):
        append_line(path, step, TRAINING)
    assert steps(path) == [5, 10, 15]
    rewind(path, 10)
    assert steps(path) == [5, 10] and path.read_bytes().startswith(before)


def test_a_line_that_is_not_understood_is_dropped_when_its_step_comes_again(path):
    append_line(path, 5, TRAINING)
    append_line(path, 7, {"accuracy": 0.5})
    rewind(path, 6)
    assert len(path.read_text().splitlines()) == 1


def test_what_is_no_number_is_left_out_but_stays_in_the_file(path):
    append_line(path, 5, TRAINING | {"host": "here", "moved": True})
    before = path.read_bytes()
    (line,) = read_training_lines(path)
    assert line.as_dict() == {"step": 5, **TRAINING}
    rewind(path, 5)
    assert path.read_bytes() == before


def test_the_log_of_a_run_that_is_gone_is_not_begun_elsewhere(tmp_path):
    with pytest.raises(SeqrlError, match="run was removed or renamed while it was written"):
        append_line(tmp_path / "run" / "metrics.jsonl", 1, TRAINING)
    assert not list(tmp_path.iterdir())
