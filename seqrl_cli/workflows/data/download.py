"""``seqrl download``: make sure that a dataset exists, and summarize it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.disk import disk_text
from seqrl_cli.artifacts.making import make_all
from seqrl_cli.artifacts.mixture import DatasetMixture
from seqrl_cli.artifacts.sizes import estimate_sizes
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, amount, byte_size, counted
from seqrl_cli.download.mirrors import locations
from seqrl_cli.envs.trust import remember


@dataclass(frozen=True)
class DownloadRequest:
    """Options of ``seqrl download``.

    Attributes:
        dataset: the dataset to fetch, simulate or copy.
        config: the dataset's configuration; only the section ``data`` matters.
        force: replace a dataset that exists.
        jobs: how many datasets of several to make at once; None: one per core.
    """

    dataset: DatasetRef
    config: Config
    force: bool = False
    jobs: int | None = None


@dataclass(frozen=True)
class DatasetReport:
    """Result of ``download`` and ``collect``.

    Attributes:
        dataset: id of the dataset.
        path: path of the dataset's file, or paths of those of several datasets.
        fresh: whether anything was made now.
        episodes: number of episodes; None for several datasets.
        transitions: number of transitions of all datasets.
        mean_return: mean return of the episodes; None for several datasets.
        score: normalized score in percent; None if unknown.
        datasets: transitions by id, for several datasets.
        new: ids of those of the datasets that were made now.
    """

    dataset: str
    path: str
    fresh: bool
    episodes: int | None
    transitions: int
    mean_return: float | None
    score: float | None
    datasets: Mapping[str, int] = field(default_factory=dict)
    new: Sequence[str] = ()

    def text(self) -> str:
        """Two lines for a person, or one per dataset."""
        if self.episodes is None or self.mean_return is None:
            count = f"{counted(len(self.datasets), 'dataset')}, {len(self.new)} of them new"
            lines = (f"  {name}: {counted(rows, 'transition')}" for name, rows in self.datasets.items())
            return "\n".join((f"{self.dataset}: {count}, {counted(self.transitions, 'transition')}", *lines))
        score = f", score {self.score:.1f}" if self.score is not None else ""
        size = f"{counted(self.transitions, 'transition')} in {counted(self.episodes, 'episode')}"
        return f"{self.dataset}: {size}, mean return {amount(self.mean_return)}{score}\n{self.path}"


def run(request: DownloadRequest, console: Console) -> DatasetReport:
    """Make sure that ``dataset.h5`` exists, or those of several datasets, and summarize it.

    Raises:
        SeqrlError: as :meth:`DatasetRef.ensure` and :func:`make_all`.
    """
    dataset = request.dataset
    if isinstance(dataset, DatasetMixture):
        made = make_all(dataset, request.config.data, console, force=request.force, jobs=request.jobs)
        rows = {part.id: part.stored_size().transitions for part in dataset.members}
        return DatasetReport(dataset.id, dataset.target, bool(made), None, sum(rows.values()), None, None, rows, made)
    fresh = ensure(request, console)
    if not fresh:
        console.note(f"{dataset.id} already exists; --force makes it again")
    return summarize(dataset, fresh=fresh)


def ensure(request: DownloadRequest, console: Console) -> bool:
    """Make one dataset unless it exists; returns whether it was made now.

    Raises:
        SeqrlError: as :meth:`DatasetRef.ensure`.
    """
    dataset = request.dataset
    fresh = dataset.ensure(request.config.data, console, force=request.force)
    remember(request.config.data.env_id)
    if fresh and (misfit := dataset.describe_misfit(dataset.load_episodes())):
        console.warn(f"{dataset.id}: {misfit}")
    return fresh


def summarize(dataset: DatasetRef, *, fresh: bool) -> DatasetReport:
    """Read a dataset that exists and summarize it."""
    episodes = dataset.load_episodes()
    mean_return = float(episodes.returns.mean())
    return DatasetReport(
        dataset=dataset.id,
        path=dataset.target,
        fresh=fresh,
        episodes=len(episodes),
        transitions=episodes.transitions,
        mean_return=mean_return,
        score=dataset.own_score(mean_return),
    )


def dry_run(request: DownloadRequest, console: Console) -> None:
    """Print what ``download`` would do.

    Raises:
        SeqrlError: the dataset cannot be read or made.
    """
    dataset = request.dataset
    data = request.config.data
    spec = dataset.spec
    exists = dataset.exists
    sizes = estimate_sizes(dataset, data, console)
    needed = 0 if exists and not request.force else sizes.dataset_bytes()
    # Fetched files are kept until they have been read.
    fetches = spec.url and (request.force or not exists)
    temporary = f"; while it is fetched, {_fetched_size(spec.size)} more" if fetches else ""
    facts = {
        "dataset": dataset.id,
        "source": spec.source,
        "from": _origin(dataset),
        "to": dataset.target,
        "already exists": exists,
        "environment": sizes.env_id or "unknown",
        "transitions": sizes.text,
        "disk": disk_text(dataset.folder.path, needed) + temporary,
    }
    console.emit({**facts, "disk_bytes": needed})
    console.show_facts(facts)


def _origin(dataset: DatasetRef) -> str:
    """Where the data would come from."""
    if isinstance(dataset, DatasetMixture):
        return "; ".join(_origin(part) for part in dataset.parts)
    spec = dataset.spec
    if not spec.files:
        return str(spec.path) if spec.path else "a simulation on this machine"
    sources = locations(spec.files[0], spec.source, dataset.store.network)
    return sources[0] if sources else f"nowhere: {spec.url} is on the network, which --offline forbids"


def _fetched_size(size: int | None) -> str:
    return "as much as the server sends" if size is None else byte_size(size)
