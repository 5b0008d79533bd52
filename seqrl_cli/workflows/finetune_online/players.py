"""Who plays the episodes of a fine-tuning: this process, others of this machine, or some of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.run_environment import observation_size_of_run
from seqrl_cli.behaviour.workers import Watch, worker_map
from seqrl_cli.config.sections import OnlineConfig
from seqrl_cli.console import Console
from seqrl_cli.data.spaces import SizeMismatchError
from seqrl_cli.envs.vector.backend import EnvSpec
from seqrl_cli.envs.vector.subprocess import SubprocessBackend
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.launch.ordered_map import OrderedMap
from seqrl_cli.launch.ray_map import ray_map
from seqrl_cli.online.players import EpisodePlayer, SharedPlayer, VectorPlayer
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineJob, FinetuneOnlineRequest


@dataclass(frozen=True)
class Players:
    """Who plays exploration, and who evaluations."""

    exploration: EpisodePlayer
    evaluation: EpisodePlayer


@contextmanager
def open_players(
    request: FinetuneOnlineRequest, job: FinetuneOnlineJob, trained: TrainedPolicy, console: Console
) -> Iterator[Players]:
    """Who plays; what they need is closed when the block ends.

    Raises:
        SeqrlError: the environment cannot be made, has other sizes than the policy, or no Ray cluster answers.
    """
    store, online = request.store, job.config.online
    if request.has_processes:
        make_vector(store, job, trained, 1, console).close()  # the checks
        with _processes(request, job, console) as (processes, count):
            spec = _spec(store, job, trained, -(-_most_episodes(online) // count))
            console.note(f"{count} process{'es share' if count > 1 else ' plays'} the episodes")
            player = SharedPlayer(processes, count, spec, job.env_timeout, console.warn)
            yield Players(player, player)
        return
    with (
        closing(make_vector(store, job, trained, online.envs, console)) as exploration,
        closing(make_vector(store, job, trained, online.eval_episodes, console)) as evaluation,
    ):
        yield Players(VectorPlayer(exploration), VectorPlayer(evaluation))


@contextmanager
def _processes(
    request: FinetuneOnlineRequest, job: FinetuneOnlineJob, console: Console
) -> Iterator[tuple[OrderedMap, int]]:
    """The processes that play, and how many there are.

    Raises:
        SeqrlError: no Ray cluster answers.
    """
    if request.on == "ray":
        with ray_map(request.address) as (tasks, slots):
            yield tasks, min(most_processes(request, job.config.online), slots)
        return
    count = most_processes(request, job.config.online)
    hint = "fewer --jobs need less memory"
    watch = Watch(f"a process that played {job.env_id}", on_warning=console.warn, memory_hint=hint)
    with worker_map(count, watch) as workers:
        yield workers, count


def most_processes(request: FinetuneOnlineRequest, online: OnlineConfig) -> int:
    """Processes that share the episodes, if a cluster has as many."""
    most = _most_episodes(online)
    return min(request.jobs or most, most)


def _most_episodes(online: OnlineConfig) -> int:
    return max(online.envs, online.eval_episodes)


def make_vector(
    store: RunStore, job: FinetuneOnlineJob, trained: TrainedPolicy, num_envs: int, console: Console
) -> SeededVectorEnv:
    """``num_envs`` environments in a separate process, with observations cut to the data's dimensions.

    Raises:
        SeqrlError: the environment cannot be made, or has other sizes than the policy.
    """
    spec = _spec(store, job, trained, num_envs)
    vector = SeededVectorEnv(
        job.env_id,
        num_envs,
        max_episode_steps=spec.max_episode_steps,
        observation_size=spec.observation_size,
        backend=partial(SubprocessBackend, on_warning=console.warn, timeout=job.env_timeout),
    )
    hint = "name the right environment: seqrl download FILE data.env_id=… --force"
    try:
        vector.spaces.require_alike(job.env_id, trained.spaces, str(job.parent.path), hint)
    except SizeMismatchError:
        vector.close()
        raise
    return vector


def _spec(store: RunStore, job: FinetuneOnlineJob, trained: TrainedPolicy, num_envs: int) -> EnvSpec:
    """``num_envs`` environments, with observations cut to the data's dimensions."""
    return EnvSpec(job.env_id, num_envs, job.config.online.max_steps, observation_size_of_run(store, trained))
