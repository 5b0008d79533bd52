"""``seqrl download``: make sure that a dataset is there, and sum it up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console, counted


@dataclass(frozen=True)
class DatasetReport:
    """What ``download`` and ``collect`` say; ``score`` is normalised, in percent."""

    dataset: str
    path: str
    fresh: bool
    episodes: int
    transitions: int
    mean_return: float
    score: float | None

    def text(self) -> str:
        """Two lines for a person."""
        score = f", score {self.score:.1f}" if self.score is not None else ""
        size = f"{counted(self.transitions, 'transition')} in {counted(self.episodes, 'episode')}"
        return f"{self.dataset}: {size}, mean return {self.mean_return:,.1f}{score}\n{self.path}"

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def acquire(located: DatasetRef, data: DataConfig, console: Console, *, force: bool = False) -> DatasetReport:
    """Make sure ``dataset.h5`` is there, and sum it up; arguments as for :meth:`DatasetRef.ensure`."""
    fresh = located.ensure(data, console, force=force)
    if not fresh:
        console.note(f"{located.id} is already there; --force makes it again")
    return describe(located, fresh=fresh)


def describe(located: DatasetRef, *, fresh: bool = False) -> DatasetReport:
    """Read a dataset that is there and sum it up."""
    episodes = located.load_episodes()
    mean_return = float(episodes.returns.mean())
    return DatasetReport(
        dataset=located.id,
        path=str(located.folder.dataset),
        fresh=fresh,
        episodes=len(episodes),
        transitions=episodes.transitions,
        mean_return=mean_return,
        score=located.percent_score(mean_return),
    )
