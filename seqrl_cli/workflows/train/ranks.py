"""``seqrl train`` in several processes: what each does before and beside the leader, which writes the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from seqrl_cli.artifacts.train_job import TrainingData, TrainJob
from seqrl_cli.config.nested import dotted_items
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import CommandInterruptedError, UsageError
from seqrl_cli.models.device import available_memory, device_of_rank
from seqrl_cli.runs.record import git_state, versions
from seqrl_cli.training.acceleration import resolve_precision
from seqrl_cli.training.agreement import Start, starting
from seqrl_cli.training.distributed import Ranks, joined
from seqrl_cli.training.evaluation import Evaluation, in_place
from seqrl_cli.training.loop import FitOutcome, fit
from seqrl_cli.training.placement import Placement
from seqrl_cli.training.world import World
from seqrl_cli.workflows.train.setup import TrainRequest


def check_processes(request: TrainRequest) -> None:
    """Stop unless this machine and the batch can be divided among the processes of a request.

    Raises:
        UsageError: --devices disagrees with torchrun, or the batch cannot be divided evenly.
        SeqrlError: there are fewer GPUs than processes.
    """
    place, count = request.placement, request.processes
    if place is not None and request.devices not in (None, place.local_size):
        message = f"--devices is {request.devices}, but torchrun started {place.local_size} processes on this machine"
        raise UsageError(message, "leave --devices out: torchrun's --nproc-per-node takes its place")
    if count == 1:
        return
    _check_batch(request.config.train.batch_size, count)
    if place is None:
        device_of_rank(request.device, 0, count)


def _check_batch(size: int, processes: int) -> None:
    """Raise UsageError unless a batch can be divided evenly."""
    if size % processes:
        below, above = size - size % processes, size + processes - size % processes
        nearest = " or ".join(f"--batch-size {one}" for one in (below, above) if one)
        message = f"train.batch_size is {size}, which {processes} processes cannot divide evenly"
        raise UsageError(message, f"it counts the windows of all processes together; use {nearest}")


def share_of_memory(config: Config, placement: Placement) -> Config:
    """The configuration with this process's share of the memory that its node may use for data."""
    if placement.local_size == 1 or not has_key(config.model.arch, "tasks.max_memory"):
        return config
    limit = config.tasks.max_memory or available_memory(torch.device("cpu")) // 2
    own = {"max_memory": max(1, limit // placement.local_size)}
    return config.model_copy(update={"tasks": config.tasks.model_copy(update=own)})


@contextmanager
def meeting(placement: Placement, device: torch.device) -> Iterator[tuple[Ranks, Start]]:
    """Join the other processes for the block, in which each gets ready and agrees with the others."""
    with joined(placement, device) as ranks, starting(ranks) as start:
        yield ranks, start


def facts_of(config: Config, data: TrainingData, job: TrainJob, device: torch.device) -> dict[str, str]:
    """What must be the same in all processes: versions, data, configuration, and how numbers are computed."""
    revision = git_state()["revision"]
    return {
        **versions(),
        **({"source revision": revision} if revision else {}),
        "kind of device": device.type,
        "precision": resolve_precision(config.train.precision, device),
        "data with fingerprint": data.fingerprint[:16],
        "number of updates": str(job.settings.updates),
        **{name: str(value) for name, value in dotted_items(config.model_dump(mode="json"))},
    }


def follow(job: TrainJob, every: int | None, world: World) -> int:
    """Train with the leader, as often as it starts the loop; returns the updates made.

    Args:
        job: the same job as the leader's.
        every: updates between the leader's evaluations.
        world: the processes.

    Raises:
        CommandInterruptedError: a process was stopped.
    """
    outcome: FitOutcome | None = None
    evaluation = None if every is None else Evaluation(every, in_place(_nothing), lambda step: False)
    while world.from_leader(False):
        parts = (job.model, job.train, job.validation, job.settings)
        outcome = fit(*parts, trainer=job.trainer, evaluation=evaluation, world=world)
    if outcome is not None and outcome.interrupted:
        raise CommandInterruptedError(f"interrupted at update {outcome.step:,}", "the leader saved a checkpoint")
    return 0 if outcome is None else outcome.step


def _nothing(model: nn.Module, should_stop: object) -> dict[str, float | None]:
    """The evaluation of a process that does not lead."""
    return {}
