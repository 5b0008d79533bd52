"""Dry run of ``train``: makes the same checks and writes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.disk import disk_text, missing_dataset_bytes, total_bytes
from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.run_conflict import refuse_lost_files
from seqrl_cli.artifacts.sizes import ASSUMED_TRANSITIONS, Sizes, estimate_sizes
from seqrl_cli.artifacts.train_job import TrainingData, TrainJob, count_parameters, count_trainable, estimate_seconds
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, duration
from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.models.device import choose_device, use_threads
from seqrl_cli.runs.lock import refuse_locked
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.training.checkpoints import OPTIMIZER_STATE_BYTES
from seqrl_cli.workflows.train.evaluation import check_evaluations
from seqrl_cli.workflows.train.resume import check_resumable, with_own_penalty
from seqrl_cli.workflows.train.setup import TrainRequest, check_before_training, complete_config


def dry_run(request: TrainRequest, console: Console) -> None:
    """Print what ``train`` would do: files, parameters, updates, time, disk and configuration.

    If the training data do not exist yet, placeholders of the expected sizes stand in for them, so that everything else
    is made and checked as in the real run.
    """
    dataset = request.dataset
    config = request.config if request.force else with_own_penalty(request.run, request.config)
    run = request.run
    family = family_of(config.model.arch)
    device = choose_device(request.device)
    use_threads(request.threads)
    refuse_locked(run.path)
    sizes = estimate_sizes(dataset, config.data, console)
    data = family.current(dataset, config, console)
    if dataset.exists:
        config = complete_config(dataset, config, data)
    else:
        config = config.model_copy(update={"data": config.data.model_copy(update={"env_id": sizes.env_id})})
    if not request.force:
        refuse_lost_files(run)
    if data and run.record.exists() and not request.force:
        check_resumable(run, config, data)
    facts: dict[str, Any] = {
        "run": str(run.path),
        "already exists": run.record.exists(),
        "dataset": dataset.target,
        "dataset exists": dataset.exists,
        **family.facts(data),
        "transitions": sizes.text,
        "device": str(device),
    }
    if request.processes > 1:
        each = config.train.batch_size // request.processes
        facts |= {"processes": request.processes, "windows per process and update": each}
    usable = data or placeholder_data(dataset, config, sizes)
    needed = None
    if usable is None:
        unknown = "unknown until the data are available"
        facts |= {"parameters": unknown, "updates": config.train.updates or unknown, "estimated time": unknown}
    else:
        job = family.prepare(config, usable, dataset.step_limit, device)
        check_before_training(request, job, console, has_data=data is not None)
        check_evaluations(config, job)
        console.note("measuring a few updates …")
        facts |= _effort(request, job)
        new_data = 0 if data else family.data_bytes(config, sizes)
        needed = total_bytes([_checkpoint_bytes(job, config), new_data, missing_dataset_bytes(dataset, sizes)])
    facts["disk"] = disk_text(run.path, needed)
    console.emit({**facts, "disk_bytes": needed, "config": config.model_dump()})
    console.show_facts(facts)
    console.show(dump_config(config).rstrip())


def _effort(request: TrainRequest, job: TrainJob) -> dict[str, Any]:
    """The size of a job, and the estimated time of its remaining updates."""
    done = 0 if request.force else max(saved_steps(request.run.checkpoints), default=0)
    start = f" from update {done:,}" if done else ""
    return {
        "parameters": count_parameters(job.model),
        "updates": job.settings.updates,
        "estimated time": duration(estimate_seconds(job, done) / request.processes) + start,
    }


def _checkpoint_bytes(job: TrainJob, config: Config) -> int:
    """Bytes of the newest checkpoints, which are kept, of the best, and of the one being written."""
    checkpoint = 4 * count_parameters(job.model) + OPTIMIZER_STATE_BYTES * count_trainable(job.model)
    return checkpoint * (config.train.keep_checkpoints + 2)


def placeholder_data(dataset: DatasetRef, config: Config, sizes: Sizes) -> TrainingData | None:
    """Meaningless data of the expected sizes, in episodes of the usual length."""
    transitions = sizes.transitions or ASSUMED_TRANSITIONS
    offsets = np.append(np.arange(0, transitions, EPISODE_STEPS), transitions)
    return family_of(config.model.arch).placeholder(dataset, config, sizes, offsets)
