"""``seqrl collect``: a dataset from a shipped policy, a uniform random one, or a trained run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.artifacts.disk import disk_text
from seqrl_cli.artifacts.facts import write_dataset
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.sizes import Sizes, spaces_if_known
from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.library import list_families, load_behaviour
from seqrl_cli.behaviour.policies import uniform_factory
from seqrl_cli.behaviour.qualities import describe as describe_collection
from seqrl_cli.behaviour.qualities import named_policy
from seqrl_cli.behaviour.scripted import has_scripted_policy, scripted_parts
from seqrl_cli.behaviour.shipped import family_of
from seqrl_cli.console import Console, counted
from seqrl_cli.data.catalogue import EPISODE_STEPS, list_datasets, scores_of_environment
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.limits import known_step_limit
from seqrl_cli.envs.missing import may_exist, suggestion
from seqrl_cli.envs.probe import layout_of
from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector.subprocess import ANSWER_SECONDS
from seqrl_cli.errors import SeqrlError, UsageError, nearest, when_interrupted
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.profile import Profile
from seqrl_cli.runs.layout import check_name
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.data.download import DatasetReport, summarize
from seqrl_cli.workflows.plan.setup import PlanRequest, PlanSession, open_session

SHIPPED = ("expert", "medium")
SCRIPTED = "scripted"


@dataclass(frozen=True)
class CollectRequest:
    """Options of ``seqrl collect``.

    Attributes:
        store: the run directory.
        env: a family with shipped policies, or a gymnasium id.
        policy: ``expert``, ``medium``, ``scripted``, ``random``, or a trained run; None = ``medium`` or ``scripted``
            where one ships.
        transitions: size of the dataset.
        seed: the same seed gives the same data.
        name: dataset id; None = ``collected/<env>-<policy>``, with ``-`` for what a name cannot have.
        workers: processes; None = one per core.
        force: replace a dataset that exists.
        env_timeout: seconds to wait for an environment in a process of its own.
    """

    store: RunStore
    env: str
    policy: str | None
    transitions: int
    seed: int
    name: str | None = None
    workers: int | None = None
    force: bool = False
    env_timeout: float = ANSWER_SECONDS

    @property
    def family(self) -> str | None:
        """The family with shipped policies that the environment belongs to, if any."""
        return family_of(self.env)

    @property
    def env_id(self) -> str:
        """The gymnasium id."""
        return load_behaviour(self.family).env_id if self.family else self.env

    @property
    def policy_name(self) -> str:
        """``expert``, ``medium``, ``scripted``, ``random``, or the name of a trained run.

        Raises:
            UsageError: a shipped policy, or none, was requested, but none ships for this environment.
        """
        is_scripted = has_scripted_policy(self.env_id)
        if self.policy == SCRIPTED and not is_scripted:
            raise UsageError(f"no scripted policy ships for {self.env}", f"seqrl collect {self.env} --policy random")
        if is_scripted and self.policy is None:
            return SCRIPTED
        if self.family is None and self.policy in (None, *SHIPPED):
            missing = f"{self.policy} policy" if self.policy else "policy"
            close = nearest(self.env, [*list_families(), *(load_behaviour(name).env_id for name in list_families())])
            hints = [f"did you mean {close!r}?"] if close else []
            if may_exist(self.env):
                hints.append(f"for a random policy: seqrl collect {self.env} --policy random;")
                hints.append("--policy also takes a trained run")
            elif close is None:
                raise UsageError(f"there is no environment {self.env!r} here", suggestion(self.env))
            raise UsageError(f"no {missing} ships for {self.env}", " ".join(hints))
        return self.policy or "medium"

    @property
    def dataset(self) -> str:
        """The dataset's id."""
        policy = self.policy_name.rstrip("/").replace("/", "-")
        env = re.sub(r"[^a-z0-9._/-]+", "-", self.env.lower()).strip("-._")
        name = f"collected/{env}-{policy}" if self.name is None else self.name
        for part in name.split("/"):
            check_name("dataset", part)
        if name in {spec.id for spec in list_datasets()}:
            raise UsageError(f"{name!r} is the name of a known dataset", f"choose another, such as collected/{name}")
        return name


def run(request: CollectRequest, console: Console) -> DatasetReport:
    """Play a policy and store its transitions as a dataset.

    Raises:
        UsageError: there is no such policy for this environment.
        SeqrlError: there is no such environment or run, or the dataset cannot be written.
    """
    folder = request.store.dataset(request.dataset)
    accept(request.env_id, [Path.cwd()])
    if folder.dataset.exists() and not request.force:
        return _existing(request, console)
    play = _make_player(request, console.warn)
    stopped = when_interrupted("interrupted; nothing was kept", "the same command starts over")
    with locked(folder.path, console) as waited:
        if waited and folder.dataset.exists() and not request.force:
            return _existing(request, console)
        console.note(f"collecting {request.dataset}: {request.transitions:,} transitions of {request.env_id}")
        with stopped, console.progress(f"collecting {request.dataset}", "steps") as update:
            episodes = play(update)
        write_dataset(folder.dataset, episodes, _attributes(request, episodes))
    return summarize(locate(request.store, request.dataset), fresh=True)


def play_policy(request: CollectRequest, console: Console) -> Episodes:
    """Play a policy without storing anything; arguments and errors as for :func:`run`."""
    accept(request.env_id, [Path.cwd()])
    play = _make_player(request, console.warn)
    with console.progress(f"playing {request.policy_name}", "steps") as update:
        return play(update)


def _existing(request: CollectRequest, console: Console) -> DatasetReport:
    dataset = locate(request.store, request.dataset)
    report = summarize(dataset, fresh=False)
    seed = dataset.facts.attributes.get("seed", request.seed) if dataset.facts else request.seed
    if (report.transitions, seed) == (request.transitions, request.seed):
        console.note(f"{request.dataset} already exists; --force makes it again")
    else:
        found = f"{request.dataset} has {counted(report.transitions, 'transition')} of seed {seed}"
        asked = f"{request.transitions:,} of seed {request.seed}"
        console.warn(f"{found}, not {asked}; --force makes it again, --name makes another")
    return report


def dry_run(request: CollectRequest, console: Console) -> None:
    """Print what ``collect`` would do.

    Raises:
        SeqrlError: as :func:`run` before it collects.
    """
    accept(request.env_id, [Path.cwd()])
    _make_player(request, console.warn)
    folder = request.store.dataset(request.dataset)
    sizes = Sizes(request.transitions, spaces_if_known(request.env_id), counted=True)
    facts = {
        "dataset": request.dataset,
        "environment": request.env_id,
        "policy": request.policy_name,
        "transitions": request.transitions,
        "seed": request.seed,
        "to": str(folder.dataset),
        "already exists": folder.dataset.exists(),
        "disk": disk_text(folder.path, sizes.dataset_bytes()),
    }
    console.emit({**facts, "disk_bytes": sizes.dataset_bytes()})
    console.show_facts(facts)


def _make_player(
    request: CollectRequest, on_warning: Callable[[str], None]
) -> Callable[[Callable[..., None]], Episodes]:
    """Check the request, and return a function that collects the episodes, given a progress callback.

    Raises:
        UsageError: there is no such policy for this environment.
        SeqrlError: there is no such environment or run, or the run belongs to another environment.
    """
    policy = request.policy_name
    if policy in (*SHIPPED, SCRIPTED, "random"):
        layout_of(request.env_id)
        return partial(_play_parts, request, _parts(request, policy), on_warning)
    _require_run(request.store, policy)
    plan = PlanRequest(request.store, policy, seed=request.seed, env_timeout=request.env_timeout)
    session = open_session(plan, on_warning)
    if session.env_id != request.env_id:
        message = f"{session.run.path} plans in {session.env_id}, not in {request.env_id}"
        raise SeqrlError(message, f"seqrl collect {session.env_id} --policy {policy}")
    return partial(_play_run, session, request)


def _require_run(store: RunStore, policy: str) -> None:
    """Raise UsageError if a name is neither a run's nor a policy's, but nearly a policy's."""
    names = (*SHIPPED, SCRIPTED, "random")
    try:
        store.find(policy, lambda _: None)
    except SeqrlError as error:
        if close := nearest(policy, names):
            raise UsageError(f"no policy and no run {policy!r}", f"did you mean {close!r}?") from error
        raise


def _play_parts(
    request: CollectRequest, parts: Sequence[Part], on_warning: Callable[[str], None], progress: Callable[..., None]
) -> Episodes:
    return collect(
        request.env_id,
        parts,
        request.transitions,
        request.seed,
        workers=request.workers,
        progress=progress,
        on_warning=on_warning,
        timeout=request.env_timeout,
    )


def _parts(request: CollectRequest, policy: str) -> list[Part]:
    """The policies of a dataset by name, with their shares."""
    if policy == SCRIPTED:
        return scripted_parts(request.env_id)
    if policy == "random":
        return [Part(uniform_factory(request.env_id), 1.0)]
    return [Part(named_policy(str(request.family), policy), 1.0)]


def _play_run(session: PlanSession, request: CollectRequest, progress: Callable[..., None]) -> Episodes:
    """Play a run until there are enough transitions; the last episode is cut off as a timeout."""
    limit = session.config.max_steps
    longest = limit or known_step_limit(session.env_id) or EPISODE_STEPS
    num_envs = session.config.envs
    if request.transitions < longest:
        limit, num_envs = request.transitions, 1
    records: list[EpisodeRecord] = []
    rows = 0

    def on_episode(record: EpisodeRecord) -> None:
        session.check_finite(record)
        records.append(record)

    with closing(session.make_vector(num_envs, limit)) as vector:
        rollout = session.rollout(vector, Profile())
        while rows < request.transitions:
            first = len(records)
            rollout.play(range(first, first + num_envs), on_episode)
            rows = sum(len(record.actions) for record in records)
            progress(min(rows, request.transitions), request.transitions)
    return _as_episodes(sorted(records, key=lambda record: record.episode), request.transitions)


def _as_episodes(records: list[EpisodeRecord], transitions: int) -> Episodes:
    last = np.concatenate([np.arange(len(r.actions)) == len(r.actions) - 1 for r in records])
    terminated = np.concatenate([np.full(len(r.actions), r.terminated) for r in records])
    return Episodes.from_flags(
        np.concatenate([record.observations[:-1] for record in records])[:transitions],
        np.concatenate([record.actions for record in records])[:transitions],
        np.concatenate([record.rewards for record in records])[:transitions],
        (last & terminated)[:transitions],
        (last & ~terminated)[:transitions],
    )


def _attributes(request: CollectRequest, episodes: Episodes) -> dict[str, Any]:
    references = scores_of_environment(request.env_id) or (None, None)
    description = describe_collection(episodes, request.env_id, request.seed, *references)
    return {"source": "collected", "dataset_id": request.dataset, "policy": request.policy_name, **description}
