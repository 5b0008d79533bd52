"""What a continual run is judged by, from its evaluations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqrl_cli.continual.metrics import ContinualScores, continual_scores
from seqrl_cli.continual.run_files import Evaluation, success_matrix


def scores_of(evaluations: Sequence[Evaluation], *, at_end: bool) -> ContinualScores:
    """The scores of a run's evaluations.

    Args:
        evaluations: the evaluations before learning and after each stage.
        at_end: whether success counts at the last step only, as in L2M.
    """
    retention = [_retained(one, at_end=at_end) for one in (evaluations[0], evaluations[-1])]
    matrix = success_matrix(list(evaluations), at_end=at_end)
    return continual_scores(matrix, retention_before=retention[0], retention=retention[1])


def _retained(evaluation: Evaluation, *, at_end: bool) -> float | None:
    """Mean success on the pretraining's tasks; None where it was not measured."""
    return mean_of_known([score.success_at_end if at_end else score.success for score in evaluation.pretraining])


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known; None if there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
