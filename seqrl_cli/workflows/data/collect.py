"""A dataset from a policy: shipped, uniform random, or a trained run's agent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from seqrl_cli.artifacts.facts import write_dataset
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.library import list_families, load_behaviour
from seqrl_cli.behaviour.policies import uniform_factory
from seqrl_cli.behaviour.qualities import describe as describe_collection
from seqrl_cli.behaviour.qualities import named_policy
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import EPISODE_STEPS, list_datasets, scores_of_environment
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.make import make_env
from seqrl_cli.errors import SeqrlError, UsageError, nearest, when_interrupted
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import EpisodeRecord
from seqrl_cli.runs.layout import check_name
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.data.download import DatasetReport, describe
from seqrl_cli.workflows.plan.setup import PlanRequest, PlanSession, open_session

SHIPPED = ("expert", "medium")


@dataclass(frozen=True)
class CollectRequest:
    """What ``seqrl collect`` was asked for.

    Attributes:
        env: a family with shipped policies, or a gymnasium id.
        policy: ``expert``, ``medium``, ``random``, or a trained run; None = ``medium`` where one ships.
        transitions: size of the dataset.
        seed: the same seed gives the same data.
        name: dataset id; None = ``collected/<env>-<policy>``.
        workers: processes; None = one a core.
    """

    env: str
    policy: str | None
    transitions: int
    seed: int
    name: str | None = None
    workers: int | None = None

    @property
    def family(self) -> str | None:
        """The family with shipped policies that the environment belongs to, if any."""
        return next((name for name in list_families() if self.env in (name, load_behaviour(name).env_id)), None)

    @property
    def env_id(self) -> str:
        """The gymnasium id."""
        return load_behaviour(self.family).env_id if self.family else self.env

    @property
    def chosen(self) -> str:
        """The policy's name.

        Raises:
            UsageError: none was named, or a shipped one, and none ships for this environment.
        """
        if self.family is None and self.policy in (None, *SHIPPED):
            asked = f"{self.policy} policy" if self.policy else "policy"
            close = nearest(self.env, [*list_families(), *(load_behaviour(name).env_id for name in list_families())])
            hint = f"did you mean {close!r}? " if close else ""
            hint += f"for a random policy: seqrl collect {self.env} --policy random; --policy takes a trained run, too"
            raise UsageError(f"no {asked} ships for {self.env}", hint)
        return self.policy or "medium"

    @property
    def dataset(self) -> str:
        """The dataset's id."""
        policy = self.chosen.rstrip("/").replace("/", "-")
        name = self.name or f"collected/{self.env.lower()}-{policy}"
        for part in name.split("/"):
            check_name("dataset", part)
        if name in {spec.id for spec in list_datasets()}:
            raise UsageError(f"{name!r} is the name of a known dataset", f"choose another, such as collected/{name}")
        return name


def collect_dataset(
    store: RunStore, request: CollectRequest, console: Console, *, force: bool = False
) -> DatasetReport:
    """Play a policy and keep what it did as a dataset.

    Raises:
        UsageError: no such policy for this environment.
        SeqrlError: no such environment or run, or the dataset cannot be written.
    """
    folder = store.dataset(request.dataset)
    if folder.dataset.exists() and not force:
        console.note(f"{request.dataset} is already there; --force makes it again")
        return describe(locate(store, request.dataset))
    play = make_player(store, request, console.warn)
    stopped = when_interrupted("interrupted; nothing of it was kept", "the same command collects it anew")
    with locked(folder.path):
        console.note(f"collecting {request.dataset}: {request.transitions:,} transitions of {request.env_id}")
        with stopped, console.progress(f"collecting {request.dataset}", "steps") as update:
            episodes = play(update)
        write_dataset(folder.dataset, episodes, _attributes(request, episodes))
    return describe(locate(store, request.dataset), fresh=True)


def make_player(
    store: RunStore, request: CollectRequest, on_warning: Callable[[str], None]
) -> Callable[[Callable[..., None]], Episodes]:
    """What collects the episodes, given a ``progress``; all that can be refused is refused before it is called.

    Raises:
        UsageError: no such policy for this environment.
        SeqrlError: no such environment or run, or the run's environment is another.
    """
    policy = request.chosen
    if policy in (*SHIPPED, "random"):
        make_env(request.env_id).close()
        factory = uniform_factory(request.env_id) if policy == "random" else named_policy(str(request.family), policy)
        parts = [Part(factory, 1.0)]
        size, seed, workers = request.transitions, request.seed, request.workers
        return lambda progress: collect(request.env_id, parts, size, seed, workers=workers, progress=progress)
    session = open_session(store, PlanRequest(policy, seed=request.seed), on_warning)
    if session.env_id != request.env_id:
        message = f"{session.run.path} plans in {session.env_id}, not in {request.env_id}"
        raise SeqrlError(message, f"seqrl collect {session.env_id} --policy {policy}")
    return partial(_play_run, session, request)


def _play_run(session: PlanSession, request: CollectRequest, progress: Callable[..., None]) -> Episodes:
    """Play a run's agent until there are enough transitions; the last episode is cut, as a timeout."""
    limit, slots = session.config.max_steps, session.config.envs
    if request.transitions < EPISODE_STEPS:
        limit, slots = request.transitions, 1
    records: list[EpisodeRecord] = []
    rows = 0

    def on_episode(record: EpisodeRecord) -> None:
        session.refuse_broken(record)
        records.append(record)

    with closing(session.make_vector(slots, limit)) as vector:
        rollout = session.rollout(vector, Profile())
        while rows < request.transitions:
            first = len(records)
            rollout.play(range(first, first + slots), on_episode)
            rows = sum(len(record.actions) for record in records)
            progress(min(rows, request.transitions), request.transitions)
    return _as_episodes(sorted(records, key=lambda record: record.episode), request.transitions)


def _as_episodes(records: list[EpisodeRecord], transitions: int) -> Episodes:
    last = np.concatenate([np.arange(len(r.actions)) == len(r.actions) - 1 for r in records])
    fell = np.concatenate([np.full(len(r.actions), r.terminated) for r in records])
    return Episodes.from_flags(
        np.concatenate([record.observations[:-1] for record in records])[:transitions],
        np.concatenate([record.actions for record in records])[:transitions],
        np.concatenate([record.rewards for record in records])[:transitions],
        (last & fell)[:transitions],
        (last & ~fell)[:transitions],
    )


def _attributes(request: CollectRequest, episodes: Episodes) -> dict[str, Any]:
    references = scores_of_environment(request.env_id) or (None, None)
    about = describe_collection(episodes, request.env_id, request.seed, *references)
    return {"source": "collected", "dataset_id": request.dataset, "policy": request.chosen, **about}
