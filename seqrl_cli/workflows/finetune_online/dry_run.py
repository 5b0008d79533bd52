"""Dry run of ``finetune-online``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from seqrl_cli.console import Console, byte_size
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.runs.lock import refuse_locked
from seqrl_cli.training.checkpoints import OPTIMIZER_STATE_BYTES
from seqrl_cli.workflows.finetune_online.players import make_vector, most_processes
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineJob, FinetuneOnlineRequest, resolve
from seqrl_cli.workflows.finetune_online.setup import (
    iterations_done,
    load_initial_policy,
    warn_of_settings,
)


def dry_run(request: FinetuneOnlineRequest, console: Console) -> None:
    """Print what ``finetune-online`` would do.

    Raises:
        SeqrlError: as ``run`` before it writes.
    """
    job = resolve(request, console.warn)
    refuse_locked(job.run.path)
    warn_of_settings(job, console.warn)
    policy = load_initial_policy(job, console, console.warn)
    with closing(make_vector(request.store, job, policy, 1, console)) as vector:
        buffer = _buffer_bytes(job, vector)
    checkpoint = job.record.parameters * (4 + OPTIMIZER_STATE_BYTES)
    done = iterations_done(job.run) if job.resumes else 0
    facts: dict[str, Any] = {
        "run": str(job.run.path),
        "already exists": job.run.record.exists(),
        "parent": str(job.parent.path),
        "environment": job.env_id,
        "iterations": f"{done:,} of {job.config.online.iterations:,} done",
        "evaluations aim at": job.target_return,
        "exploration aims at": job.exploration_return,
        **_processes(request, job),
        "parameters": job.record.parameters,
        "disk of checkpoints": byte_size(checkpoint * (job.config.train.keep_checkpoints + 1)),
        "disk of the buffer": f"at most {byte_size(buffer)}",
        **{f"online.{key}": value for key, value in job.config.online.model_dump().items()},
    }
    console.emit(facts)
    console.show_facts(facts)


def _processes(request: FinetuneOnlineRequest, job: FinetuneOnlineJob) -> dict[str, int]:
    """How many processes would share the episodes; none if this one plays."""
    if not request.has_processes:
        return {}
    return {"processes" if request.on == "local" else "processes at most": most_processes(request, job.config.online)}


def _buffer_bytes(job: FinetuneOnlineJob, environment: SeededVectorEnv) -> int:
    """Bytes of the buffer on disk if each episode lasts to the step limit: its arrays and two flags per step.

    A buffer file is kept while a kept checkpoint needs any part of it. So the disk holds, beside the capacity, one
    outdated file (the first file is the largest) and the episodes added since the oldest checkpoint.
    """
    online = job.config.online
    since_oldest = job.config.train.keep_checkpoints * online.checkpoint_every * online.envs
    trajectories = online.capacity + max(online.capacity, online.envs) + since_oldest
    return trajectories * environment.max_episode_steps * (environment.spaces.stored_bytes + 4 + 2)
