"""``seqrl download --reference``: the returns that score 0 and 100, measured by playing two policies, and stored."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.facts import state_also
from seqrl_cli.artifacts.references import LOWER_POLICY, UPPER_POLICY
from seqrl_cli.behaviour.shipped import reference_words
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, counted
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.errors import SeqrlError, UsageError, when_interrupted
from seqrl_cli.runs.lock import locked
from seqrl_cli.workflows.data import collect, download
from seqrl_cli.workflows.data.download import DatasetReport, DownloadRequest

DATA = "data"


@dataclass(frozen=True)
class ReferenceRequest:
    """Options of ``seqrl download --reference``.

    Attributes:
        dataset: the dataset, which is made first where it is missing.
        config: the dataset's configuration; only the section ``data`` matters.
        policies: what scores 0 and what scores 100, joined by a comma: each a policy of ``seqrl collect`` (``random``,
            ``expert``, a trained run), ``data`` for the dataset's own mean return, or a return.
        episodes: the fewest episodes of a policy.
        seed: seed of the policies' episodes.
        force: replace a dataset that exists.
    """

    dataset: DatasetRef
    config: Config
    policies: str
    episodes: int = 20
    seed: int = 0
    force: bool = False

    @property
    def download(self) -> DownloadRequest:
        """What makes the dataset."""
        return DownloadRequest(self.dataset, self.config, self.force)

    @property
    def hint(self) -> str:
        """Examples of what can be named, with policies that ship for the environment only."""
        words = dict.fromkeys((reference_words(self.dataset.env_id), "random,data"))
        return f"for example {', '.join(f'--reference {one}' for one in words)}, or --reference random,RUN"

    @property
    def names(self) -> tuple[str, str]:
        """The two policies.

        Raises:
            UsageError: there are not two.
        """
        names = [name.strip() for name in self.policies.split(",")]
        if len(names) != 2 or not all(names):
            raise UsageError(f"--reference is {self.policies!r}, which is not two policies", self.hint)
        return names[0], names[1]


@dataclass(frozen=True)
class _Reference:
    """A mean return, and how it came about, in a few words."""

    mean_return: float
    described: str


def run(request: ReferenceRequest, console: Console) -> DatasetReport:
    """Play both policies, store their mean returns with the dataset, and summarize it.

    Raises:
        UsageError: the dataset is of the catalogue, or there is no such policy.
        SeqrlError: the environment is unknown or cannot be played, or the first policy is not below the second.
    """
    names = request.names
    _check(request)
    fresh = download.ensure(request.download, console)
    dataset = request.dataset
    env_id = dataset.environment()
    stopped = when_interrupted("interrupted; the references were not stored", "the same command starts over")
    with stopped:
        low, high = (_measure(name, env_id, request, console) for name in names)
    if low.mean_return >= high.mean_return:
        message = f"{low.described} is not below {high.described}, so scores between them have no meaning"
        raise SeqrlError(message, "name the worse policy first, or play more --reference-episodes")
    with locked(dataset.folder.path, console):
        facts = {"reference_min": low.mean_return, "reference_max": high.mean_return}
        policies = {LOWER_POLICY: low.described, UPPER_POLICY: high.described}
        state_also(dataset.file, dataset.load_whole(), **facts, **policies)
    console.note(f"{dataset.id}: 0 is {low.described}, 100 {high.described}")
    return download.summarize(dataset, fresh=fresh)


def dry_run(request: ReferenceRequest, console: Console) -> None:
    """Print what would be made; no policy is played.

    Raises:
        UsageError: as :func:`run`.
    """
    names = request.names
    _check(request)
    download.dry_run(request.download, console)
    console.note(f"then {names[0]} and {names[1]} would be played for at least {counted(request.episodes, 'episode')}")


def _check(request: ReferenceRequest) -> None:
    dataset, data = request.dataset, request.config.data
    if len(dataset.members) > 1 or dataset.spec.source != "file":
        message = f"--reference is for files of your own, which {dataset.id} is not"
        raise UsageError(message, "D4RL's names and sim/… have D4RL's reference scores")
    if data.reference_min is not None or data.reference_max is not None:
        raise UsageError("--reference measures what data.reference_min and data.reference_max say", "leave one out")


def _measure(name: str, env_id: str, request: ReferenceRequest, console: Console) -> _Reference:
    """The mean return of a policy, of the dataset, or as it is written."""
    if (number := _as_number(name, request.hint)) is not None:
        return _Reference(number, f"a return of {number:g}")
    dataset = request.dataset
    if name == DATA:
        returns = dataset.load_episodes().returns
        return _described(returns, "the data's mean return")
    transitions = request.episodes * dataset.step_limit
    policy = collect.CollectRequest(dataset.store, env_id, name, transitions, request.seed)
    try:
        policy.policy_name  # noqa: B018
    except UsageError as error:
        raise UsageError(f"--reference names {name}, but {error.message}", request.hint) from error
    whole = _whole_episodes(collect.play_policy(policy, console), dataset.step_limit)
    return _described(whole.returns, f"{name}'s mean return")


def _as_number(text: str, hint: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        raise UsageError(f"--reference names a return of {text}", hint)
    return number


def _whole_episodes(episodes: Episodes, limit: int) -> Episodes:
    """The episodes without the last one, where it was cut when there were enough transitions."""
    was_cut = len(episodes) > 1 and not episodes.terminals[-1] and int(episodes.lengths[-1]) < limit
    return episodes.select(np.arange(len(episodes) - was_cut))


def _described(returns: np.ndarray, whose: str) -> _Reference:
    mean = float(returns.mean())
    return _Reference(mean, f"{whose} of {mean:.6g} ({counted(len(returns), 'episode')})")
