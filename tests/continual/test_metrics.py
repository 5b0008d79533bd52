"""What a run of tasks is judged by, against examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.continual.metrics import area_under, continual_scores, relative_transfer
from seqrl_cli.continual.run_files import Evaluation, TaskScore, success_matrix
from seqrl_cli.continual.run_scores import scores_of


def test_three_tasks_by_hand():
    matrix = np.array(
        [
            [0.0, 0.1, 0.2],  # the backbone
            [0.8, 0.3, 0.2],
            [1.0, 0.7, 0.6],  # learning the second task helped the first
            [0.4, 0.5, 0.9],
        ]
    )
    scores = continual_scores(matrix, retention=0.5, retention_before=0.75)
    assert scores.average == pytest.approx(0.6)  # (.4 + .5 + .9) / 3
    assert scores.area == pytest.approx((1.3 / 3 + 2.3 / 3 + 1.8 / 3) / 3)
    assert scores.forgetting == pytest.approx(0.3)  # (.8 - .4 + .7 - .5) / 2
    assert scores.largest_forgetting == pytest.approx(0.4)  # (1 - .4 + .7 - .5) / 2
    assert scores.backward_transfer == pytest.approx(-0.3)
    assert scores.forward_transfer == pytest.approx(0.3)  # (.3 - .1 + .6 - .2) / 2
    assert scores.learned == pytest.approx(0.8)  # (.8 + .7 + .9) / 3
    assert (scores.retention, scores.retention_before) == (0.5, 0.75)


def test_one_task_forgets_nothing():
    scores = continual_scores(np.array([[0.0], [0.5]]))
    assert (scores.average, scores.learned) == (0.5, 0.5)
    assert scores.forgetting == scores.largest_forgetting == scores.forward_transfer == 0.0


def test_tasks_learned_at_once_have_no_earlier_ones():
    scores = continual_scores(np.array([[0.2, 0.0, 0.4], [1.0, 0.5, 0.0]]))
    assert scores.average == scores.area == scores.learned == 0.5
    assert scores.forgetting == scores.largest_forgetting == scores.backward_transfer == scores.forward_transfer == 0


def score(success: float | None, at_end: float | None, mean_return: float = 7.0) -> TaskScore:
    return TaskScore(
        dataset="d", env_id="E-v0", episodes=1, mean_return=mean_return, success=success, success_at_end=at_end
    )


def test_success_at_any_step_and_at_the_last_one():
    before = Evaluation(tasks=(score(0.0, 0.0),), pretraining=(score(1.0, 0.5), score(0.5, 0.5)), seconds=1.0)
    after = Evaluation(tasks=(score(1.0, 0.25),), pretraining=(score(0.5, 0.0), score(0.5, 0.5)), seconds=1.0)
    assert success_matrix([before, after]).tolist() == [[0.0], [1.0]]
    assert success_matrix([before, after], at_end=True).tolist() == [[0.0], [0.25]]
    ever, at_end = scores_of([before, after], at_end=False), scores_of([before, after], at_end=True)
    assert (ever.retention_before, ever.retention) == (0.75, 0.5)
    assert (at_end.retention_before, at_end.retention) == (0.5, 0.25)


def test_returns_stand_in_where_no_success_is_reported():
    none = Evaluation(tasks=(score(None, None),), pretraining=(score(None, None),), seconds=1.0)
    assert success_matrix([none]).tolist() == [[7.0]]
    assert scores_of([none, none], at_end=False).retention is None


def test_the_area_is_the_mean_height():
    assert area_under([(0, 0.0), (10, 1.0)]) == pytest.approx(0.5)
    assert area_under([(0, 0.0), (10, 1.0), (40, 1.0)]) == pytest.approx((5 + 30) / 40)


def test_transfer_is_the_share_of_what_the_reference_left_to_gain():
    assert relative_transfer([0.75, 0.5], [0.5, 0.5]) == pytest.approx(0.25)
    assert relative_transfer([0.75, 0.5], [0.5, 1.0]) == pytest.approx(0.5)  # nothing can be gained over 1
    assert relative_transfer([0.3], [1.0]) is None
