"""What learning one task after the other is judged by, from the success after each task on each task.

Definitions with equations and sources are in ``docs/continual.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ContinualScores:
    """Numbers of one run, in the unit of the success matrix.

    Attributes:
        average: mean over tasks after the last one.
        area: the same mean after each task, averaged over tasks learned: the area under the curve.
        forgetting: mean over earlier tasks of success right after learning a task minus success at the end, as in L2M
            (arXiv 2306.14884) and in Continual World (arXiv 2105.10919).
        largest_forgetting: the same from the best success at any time since, as in Chaudhry et al. 2018 and HiDe.
        backward_transfer: mean over earlier tasks of success at the end minus success right after learning.
        forward_transfer: mean over later tasks of success just before learning a task minus the backbone's.
        learned: mean over tasks of success right after learning.
        retention: success on the pretraining's tasks at the end; None if it was not measured.
        retention_before: the backbone's success there.
    """

    average: float
    area: float
    forgetting: float
    largest_forgetting: float
    backward_transfer: float
    forward_transfer: float
    learned: float
    retention: float | None = None
    retention_before: float | None = None


def continual_scores(
    matrix: NDArray[np.float64], retention: float | None = None, retention_before: float | None = None
) -> ContinualScores:
    """Summarise a success matrix.

    Args:
        matrix: (tasks + 1, tasks), success on each task before learning anything and after each task; or (2, tasks),
            before and after all tasks were learned at once, when nothing is earlier or later.
        retention: see :class:`ContinualScores`.
        retention_before: see :class:`ContinualScores`.
    """
    before, after, end = matrix[0], matrix[1:], matrix[-1]
    tasks = len(end)
    if len(after) < tasks:
        return _at_once(before, end, retention, retention_before)
    learned = after.diagonal()
    earlier = slice(0, tasks - 1)
    best = np.array([after[task:, task].max() for task in range(tasks)])
    just_before = np.array([matrix[task, task] for task in range(tasks)])
    return ContinualScores(
        average=float(end.mean()),
        area=float(after.mean()),
        forgetting=_mean((learned - end)[earlier]),
        largest_forgetting=_mean((best - end)[earlier]),
        backward_transfer=_mean((end - learned)[earlier]),
        forward_transfer=_mean((just_before - before)[1:]),
        learned=float(learned.mean()),
        retention=retention,
        retention_before=retention_before,
    )


def area_under(points: Sequence[tuple[float, float]]) -> float:
    """The mean height of a curve, by the trapezoidal rule.

    Args:
        points: (x, y), increasing in x; at least two.
    """
    x, y = np.array(points).T
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def relative_transfer(areas: Sequence[float], references: Sequence[float]) -> float | None:
    """Forward transfer as in Continual World (arXiv 2105.10919, section 3.2).

    The mean over tasks of ``(area - reference) / (1 - reference)``.

    Args:
        areas: areas under each task's curve of success while it was learned after others.
        references: the same areas where each task was learned alone.

    Returns:
        The mean over tasks whose reference is below 1; None if there is none.
    """
    found = [(one - other) / (1 - other) for one, other in zip(areas, references, strict=True) if other < 1]
    return float(np.mean(found)) if found else None


def _at_once(
    before: NDArray[np.float64], end: NDArray[np.float64], retention: float | None, retention_before: float | None
) -> ContinualScores:
    """The scores of tasks that were learned together: none was learned before another, so none was forgotten."""
    assert before.shape == end.shape
    mean = float(end.mean())
    return ContinualScores(mean, mean, 0.0, 0.0, 0.0, 0.0, mean, retention, retention_before)


def _mean(values: NDArray[np.float64]) -> float:
    """The mean; 0 without values, since one task alone forgets nothing."""
    return float(values.mean()) if len(values) else 0.0
