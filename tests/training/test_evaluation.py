"""Evaluations in the middle of training change nothing, and are neither lost nor repeated."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from seqrl_cli.tracking.metrics import read_evaluation_lines, read_lines, read_training_lines
from seqrl_cli.tracking.sinks import JsonlSink
from seqrl_cli.training.best import Best, judged, read_best
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.training.checkpoints import newest_checkpoint, tidy
from seqrl_cli.training.evaluation import Evaluation, Pending, in_place
from seqrl_cli.training.loop import FitOutcome, fit
from tests.contracts.trainer import same_tensors
from tests.training.fixtures import pattern_windows, tiny_gpt, tiny_settings

pytestmark = pytest.mark.slow

UPDATES, EVERY = 12, 4  # checkpoints after 5, 10 and 12


class KilledError(Exception):
    """Ends a run at some moment."""


class Evaluator:
    """Plays with random numbers and the weights; ends the run before or in the N-th evaluation."""

    def __init__(self, killed_at: int | None = None, stopped_at: int | None = None) -> None:
        self.calls = 0
        self.killed_at = killed_at
        self.stopped_at = stopped_at

    def __call__(self, model: nn.Module, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        self.calls += 1
        torch.rand(self.calls)
        if self.calls == self.killed_at:
            raise KilledError
        if self.calls == self.stopped_at:
            return None
        assert not model.training
        weight = next(model.parameters()).detach().double().sum()
        return {"evaluation_episodes": 1, "evaluation_return": float(weight), "evaluation_seconds": 0.1}


class Beside:
    """Evaluates a copy of the model, and has the numbers after so many looks."""

    def __init__(self, evaluator: Evaluator, looks: int) -> None:
        self.evaluator = evaluator
        self.looks = looks
        self.left = 0

    def __call__(self, model: nn.Module) -> Beside:
        self.model = copy.deepcopy(model).eval()
        self.left = self.looks
        return self

    def is_ready(self) -> bool:
        self.left -= 1
        return self.left < 0

    def result(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        with torch.random.fork_rng():  # another process has random numbers of its own
            return None if should_stop() else self.evaluator(self.model, should_stop)


def train(
    folder: Path,
    evaluator: Evaluator | None,
    killed_after: int | None = None,
    looks: int | None = None,
    stopped_after: int | None = None,
) -> FitOutcome:
    """A run whose evaluations play beside training for so many ``looks``; None for evaluations in place."""

    def on_progress(step: int, total: int) -> None:
        if step == killed_after:
            raise KilledError
        if step == stopped_after:
            signal.raise_signal(signal.SIGINT)

    metrics = folder / "metrics.jsonl"

    def is_done(step: int) -> bool:
        return any(line.step == step for line in read_evaluation_lines(metrics))

    return fit(
        tiny_gpt(),
        pattern_windows(),
        pattern_windows(episodes=2, length=9),
        tiny_settings(UPDATES),
        checkpoints=folder / "checkpoints",
        sinks=[JsonlSink(metrics)],
        on_progress=on_progress,
        evaluation=None if evaluator is None else Evaluation(EVERY, begin(evaluator, looks), is_done),
    )


def begin(evaluator: Evaluator, looks: int | None) -> Callable[[nn.Module], Pending]:
    if looks is None:
        return in_place(evaluator)
    return Beside(evaluator, looks)


def evaluations(folder: Path) -> list[tuple[int, float | None]]:
    return [(line.step, line.get("evaluation_return")) for line in read_evaluation_lines(folder / "metrics.jsonl")]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = newest_checkpoint(folder / "checkpoints")
    assert found is not None and found.step == UPDATES
    return found.model


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(folder, Evaluator())
    return folder


def test_training_is_the_same_with_evaluations_and_without(whole, tmp_path):
    train(tmp_path, None)
    assert same_tensors(weights(whole), weights(tmp_path))
    assert [step for step, _ in evaluations(whole)] == [4, 8, 12]
    lines = [
        [(line.step, line.loss) for line in read_training_lines(run / "metrics.jsonl")] for run in (whole, tmp_path)
    ]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("killed_after", [4, 7, 8, 10, 12])
def test_a_run_killed_after_an_update_evaluates_as_if_it_had_not_been(whole, tmp_path, killed_after):
    with pytest.raises(KilledError):
        train(tmp_path, Evaluator(), killed_after)
    train(tmp_path, Evaluator())
    assert evaluations(tmp_path) == evaluations(whole)
    assert same_tensors(weights(tmp_path), weights(whole))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_evaluation_that_was_killed_is_made_up_for(whole, tmp_path, number):
    with pytest.raises(KilledError):
        train(tmp_path, Evaluator(killed_at=number))
    train(tmp_path, Evaluator())
    assert evaluations(tmp_path) == evaluations(whole)
    assert same_tensors(weights(tmp_path), weights(whole))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_ctrl_c_in_an_evaluation_saves_and_the_run_repeats_it(whole, tmp_path, number):
    outcome = train(tmp_path, Evaluator(stopped_at=number))
    assert outcome.step == EVERY * number and outcome.interrupted and outcome.abandoned
    assert len(evaluations(tmp_path)) == number - 1
    resumed = Evaluator()
    assert train(tmp_path, resumed).first_step == outcome.step
    assert resumed.calls == 4 - number
    assert evaluations(tmp_path) == evaluations(whole)
    assert same_tensors(weights(tmp_path), weights(whole))


LOOKS = (0, 1, 2, 9)  # 9: it must be waited for


@pytest.mark.parametrize("looks", LOOKS)
def test_an_evaluation_beside_training_is_of_the_model_as_it_was(whole, tmp_path, looks):
    """Its numbers and the model are those of a run that waits for each evaluation."""
    train(tmp_path, Evaluator(), looks=looks)
    assert evaluations(tmp_path) == evaluations(whole)
    assert same_tensors(weights(tmp_path), weights(whole))


def test_training_goes_on_beside_an_evaluation(tmp_path):
    """The evaluation after 8 updates is logged after the training line of 9, and before the checkpoint of 10."""
    train(tmp_path, Evaluator(), looks=9)
    order = [(line.step, line.get("loss") is None) for line in read_lines(tmp_path / "metrics.jsonl")]
    assert order.index((9, False)) < order.index((8, True)) <= order.index((10, False)) + 1


@pytest.mark.parametrize("killed_after", range(1, UPDATES + 1))
@pytest.mark.parametrize("looks", LOOKS[1:])
def test_a_run_killed_beside_an_evaluation_loses_none(whole, tmp_path, killed_after, looks):
    with pytest.raises(KilledError):
        train(tmp_path, Evaluator(), killed_after, looks)
    train(tmp_path, Evaluator(), looks=looks)
    assert sorted(evaluations(tmp_path)) == evaluations(whole)
    assert same_tensors(weights(tmp_path), weights(whole))


@pytest.mark.parametrize("stopped_after", range(1, UPDATES))
def test_ctrl_c_beside_an_evaluation_resumes_where_it_began(whole, tmp_path, stopped_after):
    outcome = train(tmp_path, Evaluator(), looks=9, stopped_after=stopped_after)
    newest = newest_checkpoint(tmp_path / "checkpoints")
    assert outcome.interrupted and newest is not None and newest.step == outcome.step
    assert outcome.step in (stopped_after, stopped_after + 1, 4, 8)
    train(tmp_path, Evaluator(), looks=9)
    assert sorted(evaluations(tmp_path)) == evaluations(whole)
    assert same_tensors(weights(tmp_path), weights(whole))


def test_a_finished_run_is_evaluated_once(whole):
    again = Evaluator()
    train(whole, again)
    assert again.calls == 0


class Scorer(Evaluator):
    """Earns a number by evaluation."""

    def __init__(self, scores: tuple[float, ...], killed_at: int | None = None) -> None:
        super().__init__(killed_at)
        self.scores = scores

    def __call__(self, model: nn.Module, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        values = super().__call__(model, should_stop)
        return values and {**values, "evaluation_score": self.scores[self.calls - 1]}


@pytest.mark.parametrize("looks", [None, 1, 9])
def test_the_best_by_evaluation_is_kept_beyond_the_newest(tmp_path, looks):
    """Evaluated after 4, 8 and 12 updates, of which no checkpoint is due after 4 and 8."""
    train(tmp_path, Scorer((0.5, 3.0, 1.0)), looks=looks)
    checkpoints = tmp_path / "checkpoints"
    assert read_best(checkpoints) == Best(8, "evaluation_score", 3.0)
    assert {8, 12} <= set(saved_steps(checkpoints))
    keep_only_newest = [step for step in saved_steps(checkpoints) if step != 8][-1:]
    tidy(checkpoints, 12, keep=1)
    assert saved_steps(checkpoints) == [8, *keep_only_newest]


def test_keeping_the_best_changes_nothing_that_is_learned(whole, tmp_path):
    train(tmp_path, Scorer((9.0, 3.0, 1.0)))
    assert same_tensors(weights(whole), weights(tmp_path))


def test_a_killed_run_names_the_same_best_as_a_whole_one(tmp_path):
    with pytest.raises(KilledError):
        train(tmp_path, Scorer((2.0, 3.0), killed_at=2))
    train(tmp_path, Scorer((3.0, 1.0)))
    assert read_best(tmp_path / "checkpoints") == Best(8, "evaluation_score", 3.0)


def test_a_kill_between_checkpoint_and_name_is_made_up_for(tmp_path):
    train(tmp_path, None)
    checkpoints = tmp_path / "checkpoints"
    best = read_best(checkpoints)
    assert best is not None and best.measure == "validation_loss" and best.step in (5, 10, 12)
    (checkpoints / "best.json").unlink()
    train(tmp_path, None)
    assert read_best(checkpoints) == best
    (checkpoints / "best.json").write_text("{")
    assert read_best(checkpoints) is None


def test_an_evaluation_tells_more_than_a_loss():
    loss, score = Best(5, "validation_loss", 1.0), Best(4, "evaluation_score", -3.0)
    assert score.beats(loss) and not loss.beats(score) and loss.beats(None)
    assert Best(6, "validation_loss", 0.5).beats(loss) and not Best(6, "evaluation_score", -3.0).beats(score)
    assert judged(5, {"validation_loss": float("nan")}, evaluated=False) is None
    assert judged(5, {"evaluation_return": 1.0, "evaluation_success": 0.5}, evaluated=True).value == 0.5
