"""A dataset from a policy: shipped, uniform random, or a trained run's planner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.library import list_families, load_behaviour
from seqrl_cli.behaviour.policies import uniform_factory
from seqrl_cli.behaviour.qualities import describe as describe_collection
from seqrl_cli.behaviour.qualities import named_policy
from seqrl_cli.console import Console
from seqrl_cli.data.d4rl import write_d4rl
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.datasets import DatasetReport, describe, locate, scores_of_environment

SHIPPED = ("expert", "medium")


@dataclass(frozen=True)
class CollectRequest:
    """What ``seqrl collect`` was asked for.

    Attributes:
        env: a family with shipped policies, or a gymnasium id.
        policy: ``expert``, ``medium``, ``random``, or a trained run.
        transitions: size of the dataset.
        seed: the same seed gives the same data.
        name: dataset id; None = ``collected/<env>-<policy>``.
        workers: processes; None = one a core.
    """

    env: str
    policy: str
    transitions: int
    seed: int
    name: str | None = None
    workers: int | None = None

    @property
    def env_id(self) -> str:
        """The gymnasium id."""
        return load_behaviour(self.env).env_id if self.env in list_families() else self.env

    @property
    def dataset(self) -> str:
        """The dataset's id."""
        policy = self.policy.rstrip("/").replace("/", "-")
        return self.name or f"collected/{self.env.lower()}-{policy}"


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
    with locked(folder.path):
        console.note(f"collecting {request.dataset}: {request.transitions:,} transitions of {request.env_id}")
        with console.progress(f"collecting {request.dataset}", "steps") as update:
            episodes = _play(store, request, update)
        write_d4rl(folder.dataset, episodes, _attributes(request, episodes))
    return describe(locate(store, request.dataset), fresh=True)


def _play(store: RunStore, request: CollectRequest, progress: Callable[..., None]) -> Episodes:
    if request.policy not in (*SHIPPED, "random"):
        from seqrl_cli.workflows.plan import collect_with_run

        return collect_with_run(store, request.policy, request.env_id, request.transitions, request.seed, progress)
    if request.policy == "random":
        factory = uniform_factory(request.env_id)
    else:
        factory = named_policy(request.env, request.policy)
    parts = [Part(factory, 1.0)]
    return collect(request.env_id, parts, request.transitions, request.seed, workers=request.workers, progress=progress)


def _attributes(request: CollectRequest, episodes: Episodes) -> dict[str, Any]:
    references = scores_of_environment(request.env_id) or (None, None)
    about = describe_collection(episodes, request.env_id, request.seed, *references)
    return {"source": "collected", "dataset_id": request.dataset, "policy": request.policy, **about}


def show_collection(store: RunStore, request: CollectRequest, console: Console) -> None:
    """What ``collect`` would do, for --dry-run."""
    path = store.dataset(request.dataset).dataset
    facts = {
        "dataset": request.dataset,
        "environment": request.env_id,
        "policy": request.policy,
        "transitions": request.transitions,
        "seed": request.seed,
        "to": str(path),
        "there already": path.exists(),
    }
    console.emit(facts)
    console.show_facts(facts)
