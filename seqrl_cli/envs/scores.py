"""Normalized scores: D4RL's, and those of the domains of many tasks."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from seqrl_cli.data.catalogue import scores_of_environment
from seqrl_cli.data.domains import is_scaled_by_data, task_of

Returns = TypeVar("Returns", float, np.ndarray)


def normalized_score(return_: Returns, minimum: float, maximum: float) -> Returns:
    """A return scaled so that a random policy scores 0 and an expert 1; tables show it times 100.

    Fu et al., "D4RL: Datasets for Deep Data-Driven Reinforcement Learning" (arXiv 2004.07219), section 5.

    Args:
        return_: undiscounted return of an episode, or an array of them.
        minimum: the random policy's mean return.
        maximum: the expert's mean return.
    """
    return (return_ - minimum) / (maximum - minimum)


def percent_score(return_: float, references: tuple[float, float] | None) -> float | None:
    """A normalized score in percent, or None without reference scores."""
    return None if references is None else 100 * normalized_score(return_, *references)


def references_of_data(env_id: str | None, mean_return: float | None) -> tuple[float, float] | None:
    """The returns that score 0 and 1 for models trained on some data; None if unknown, or if successes count instead.

    The data-normalized score is ``(x - random) / (mean of the data - random)`` (L2M, arXiv 2306.14884, section 4). Data
    that are no better than random make no such score.

    Args:
        env_id: gymnasium id of the data's environment.
        mean_return: mean return of the data's episodes; None if unknown, so that the published data's mean is used.
    """
    task = task_of(env_id)
    if task is None or not is_scaled_by_data(env_id) or mean_return is None:
        return scores_of_environment(env_id)
    if task.random_return is None or mean_return <= task.random_return:
        return None
    return task.random_return, mean_return
