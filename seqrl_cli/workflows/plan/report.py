"""What ``seqrl plan`` reports: the episodes of one environment, or those of many tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.console import amount, counted, percent, with_error


@dataclass(frozen=True)
class PlanReport:
    """Result of ``plan``; scores in percent, None without reference scores.

    Attributes:
        folder: folder that holds the episodes.
        episodes: number of episodes.
        fresh: how many of them this call played.
        mean_return: mean over episodes.
        standard_error: standard error of the mean return; None for one episode.
        mean_score: mean normalized return.
        mean_steps: mean number of steps per episode.
        seconds: wall time of this call's episodes.
        profile: seconds by part.
        horizon: transitions that a search looks ahead if it has time; None if the model does not plan.
        mean_plan_length: transitions per plan, which a limit of time makes fewer; None if none is known.
    """

    folder: str
    episodes: int
    fresh: int
    mean_return: float
    standard_error: float | None
    mean_score: float | None
    mean_steps: float
    seconds: float
    profile: dict[str, float]
    horizon: int | None = None
    mean_plan_length: float | None = None

    def text(self, profile: bool = False) -> str:
        """A few lines for a person."""
        lines = [self._summary(), self.folder]
        return "\n".join([*lines, *profile_lines(self.profile)] if profile else lines)

    def _summary(self) -> str:
        score = f", score {self.mean_score:.1f}" if self.mean_score is not None else ""
        played = counted(self.episodes, "episode")
        earned = f"return {with_error(self.mean_return, self.standard_error)}{score}, {self.mean_steps:,.0f} steps"
        return f"{played}: {earned}{shortened(self.mean_plan_length, self.horizon)}"


def shortened(length: float | None, horizon: int | None) -> str:
    """How far plans that a limit of time cut short look ahead, for the end of a line; empty if none was cut."""
    if length is None or horizon is None or length >= horizon:
        return ""
    return f", plans of {length:.1f} in place of {horizon} transitions"


def error_of_mean(returns: NDArray[np.float64]) -> float | None:
    """Standard error of the mean over episodes, ``std(ddof=0) / sqrt(n)`` as in the papers' tables; None for one."""
    return float(returns.std() / np.sqrt(len(returns))) if len(returns) > 1 else None


@dataclass(frozen=True)
class TaskResult:
    """The episodes of one task; scores in percent, success as fractions of episodes, None where there is none.

    Attributes:
        task: name of the task's environment.
        dataset: id of its dataset.
        folder: folder that holds the task's episodes.
        episodes: number of episodes.
        target_return: what the model was asked for; None if it inferred that itself.
        mean_return: mean over episodes.
        score: normalized return.
        success: fraction of episodes that were solved at any step.
        success_at_end: fraction of episodes that were solved at the last step.
    """

    task: str
    dataset: str
    folder: str
    episodes: int
    target_return: float | None
    mean_return: float
    score: float | None
    success: float | None
    success_at_end: float | None

    def text(self) -> str:
        """The task's numbers, for a person."""
        parts = [f"return {amount(self.mean_return):>8}"]
        if self.success is not None and self.success_at_end is not None:
            parts.append(f"success {percent(self.success):>7}, at the end {percent(self.success_at_end):>7}")
        if self.score is not None:
            parts.append(f"score {self.score:5.1f}")
        return ", ".join(parts)


@dataclass(frozen=True)
class TasksReport(PlanReport):
    """Result of ``plan`` for many tasks; returns and steps are means over all episodes.

    Attributes:
        tasks: one result per task.
        mean_success: mean over the tasks that report success at any step; None if none does.
    """

    tasks: tuple[TaskResult, ...] = ()
    mean_success: float | None = None

    def text(self, profile: bool = False) -> str:
        """A line per task and one for all."""
        width = max(len(result.task) for result in self.tasks)
        lines = [f"{result.task:<{width}}  {result.text()}" for result in self.tasks]
        means = []
        if self.mean_success is not None:
            means.append(f"success {percent(self.mean_success)}")
        if self.mean_score is not None:
            means.append(f"score {self.mean_score:.1f}")
        played = f"{counted(len(self.tasks), 'task')}, {counted(self.episodes, 'episode')}"
        lines += [f"{played}: {', '.join(means)}" if means else played, self.folder]
        return "\n".join([*lines, *profile_lines(self.profile)] if profile else lines)


def profile_lines(profile: Mapping[str, float]) -> list[str]:
    """How the time of steps was spent, in lines for a person."""
    total = sum(profile.values())
    if not total:
        return ["no episode was played, so there is nothing to profile; --force plays again"]
    shares = [f"  {part:<12} {percent(spent / total):>7}" for part, spent in profile.items()]
    return ["share of the step time, by part:", *shares]
