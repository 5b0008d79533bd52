"""Rows of the table: our results by dataset and method, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqrl_cli.reports.statistics import Summary


@dataclass(frozen=True)
class ResultRow:
    """One method on one dataset.

    Attributes:
        dataset: dataset id.
        method: architecture and plan settings, or run and plan settings.
        score: statistics of the normalized score, where 100 is the reference policy; None without reference scores.
        return_: statistics of the return.
        steps: mean episode length.
        terminated: fraction of episodes that the environment ended.
        seconds_per_step: mean wall time per step; None if no file contains it.
        runs: models behind the row; models of one seed count once.
        episodes_per_run: the fewest and the most episodes of one of them.
        env_id: the environment; None when unknown.
        settings: the plan settings, which are part of the method's name; empty when unknown.
        iterations: iterations of online fine-tuning, mean over runs; None without fine-tuning.
        online_steps: environment steps explored in these iterations, mean over runs.
        cut: how many episodes ``plan.max_steps`` ended before the environment's own limit.
        cut_at: the ``plan.max_steps`` that ended them; None if no episode was cut.
        differs: the settings that set its models apart from others of the architecture on the dataset; empty if none.
    """

    dataset: str
    method: str
    score: Summary | None
    return_: Summary
    steps: float
    terminated: float
    seconds_per_step: float | None
    runs: int
    episodes_per_run: tuple[int, int] = (1, 1)
    env_id: str | None = None
    settings: str = ""
    iterations: float | None = None
    online_steps: float | None = None
    cut: int = 0
    cut_at: int | None = None
    differs: str = ""

    @property
    def short_method(self) -> str:
        """The method without its plan settings."""
        return self.method.removesuffix(self.settings).strip() or self.method

    @property
    def measure(self) -> Summary:
        """Statistics of the score, or of the return where there is none."""
        return self.score or self.return_


@dataclass(frozen=True)
class ReferenceRow:
    """A reference for the results: the dataset's own behaviour, or a random policy.

    Attributes:
        dataset: dataset id.
        name: name of the reference, for example ``"behaviour (dataset)"`` or ``"random policy"``.
        mean_return: mean return of its episodes.
        score: normalized score as a fraction; None if the dataset has no reference scores.
        episodes: how many episodes the mean is over; None when unknown.
        interval: 95 % interval of the score, where 100 is the reference policy; None when unknown.
    """

    dataset: str
    name: str
    mean_return: float
    score: float | None
    episodes: int | None = None
    interval: tuple[float, float] | None = None


def count_text(row: ResultRow) -> str:
    """Seeds × episodes: ``3 × 10``, or ``3 × 8–10`` where seeds have different numbers of episodes."""
    return f"{row.runs} × {'–'.join(dict.fromkeys(map(str, row.episodes_per_run)))}"


def remarks(rows: Sequence[ResultRow]) -> list[str]:
    """Remarks on a method beside its name: how far it has explored, and whether its episodes were cut."""
    explored = _explored_text(rows)
    cut = [row for row in rows if row.cut]
    remarks = [explored] if explored else []
    if cut:
        whole = all(row.cut == row.return_.count for row in rows)
        count = "" if whole else f"{sum(row.cut for row in cut)} of {sum(row.return_.count for row in rows)} "
        ends = dict.fromkeys(f"{row.cut_at:,}" for row in cut)
        remarks.append(f"{count}cut after {'–'.join(ends)} steps")
    return remarks


def _explored_text(rows: Sequence[ResultRow]) -> str:
    """``after 47,712 steps``: how far fine-tuned runs have explored their environments; empty for others."""
    steps = sorted(row.online_steps for row in rows if row.online_steps is not None)
    if not steps:
        return ""
    ends = dict.fromkeys((f"{steps[0]:,.0f}", f"{steps[-1]:,.0f}"))
    return f"after {'–'.join(ends)} steps"
