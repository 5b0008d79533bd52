"""Dry runs of ``download``, ``collect``, ``discretize`` and ``train``: the same checks, and nothing written."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.disk import disk_text, missing_dataset_bytes, total_bytes
from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.sizes import ASSUMED_TRANSITIONS, Sizes, estimate_sizes, sizes_if_known
from seqrl_cli.artifacts.tokens import current_tokens
from seqrl_cli.artifacts.train_job import TrainingData, TrainJob, count_parameters, count_trainable, estimate_seconds
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, byte_size, duration
from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.download.mirrors import locations
from seqrl_cli.models.device import choose_device, use_threads
from seqrl_cli.runs.lock import refuse_locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import saved_steps
from seqrl_cli.workflows.data.collect import CollectRequest, make_player
from seqrl_cli.workflows.train.resume import check_resumable
from seqrl_cli.workflows.train.setup import TrainRequest, settled, warn_early

OPTIMIZER_STATE_BYTES = 2 * 4  # AdamW's two moments of each weight, float32


def show_acquisition(located: DatasetRef, config: Config, console: Console, *, force: bool = False) -> None:
    """What ``download`` would do."""
    spec, there = located.spec, located.folder.dataset.exists()
    sizes = estimate_sizes(located, config.data, console)
    needed = 0 if there and not force else sizes.dataset_bytes()
    # What comes over the network is kept until it was read.
    more = f"; while it is fetched, {_fetched(spec.size)} besides" if spec.url and (force or not there) else ""
    facts = {
        "dataset": located.id,
        "source": spec.source,
        "from": _origin(located),
        "to": str(located.folder.dataset),
        "there already": there,
        "environment": config.data.env_id or spec.env_id or "unknown",
        "transitions": sizes.text,
        "disk": disk_text(located.folder.path, needed) + more,
    }
    console.emit({**facts, "disk_bytes": needed})
    console.show_facts(facts)


def show_collection(store: RunStore, request: CollectRequest, console: Console) -> None:
    """What ``collect`` would do."""
    make_player(store, request, console.warn)
    folder = store.dataset(request.dataset)
    sizes = Sizes(request.transitions, *sizes_if_known(request.env_id), counted=True)
    facts = {
        "dataset": request.dataset,
        "environment": request.env_id,
        "policy": request.chosen,
        "transitions": request.transitions,
        "seed": request.seed,
        "to": str(folder.dataset),
        "there already": folder.dataset.exists(),
        "disk": disk_text(folder.path, sizes.dataset_bytes()),
    }
    console.emit({**facts, "disk_bytes": sizes.dataset_bytes()})
    console.show_facts(facts)


def _origin(located: DatasetRef) -> str:
    """Where the data would come from."""
    spec = located.spec
    if not spec.files:
        return str(spec.path) if spec.path else "MuJoCo, on this machine"
    places = locations(spec.files[0], spec.source, located.store.network)
    return places[0] if places else f"nowhere: {spec.url} is on the network, which --offline forbids"


def _fetched(size: int | None) -> str:
    return "as much as the server sends" if size is None else byte_size(size)


def show_tokens(located: DatasetRef, config: Config, console: Console, *, force: bool = False) -> None:
    """What ``discretize`` would do."""
    sizes = estimate_sizes(located, config.data, console)
    there = not force and current_tokens(located, config.data, console.warn) is not None
    needed = total_bytes([0 if there else sizes.tokens_bytes(config.data.bins), missing_dataset_bytes(located, sizes)])
    facts = {
        "dataset": located.id,
        "dataset file": str(located.folder.dataset),
        "dataset is there": located.folder.dataset.exists(),
        "tokens file": str(located.folder.tokens),
        "tokens are there": there,
        "transitions": sizes.text,
        "tokens a transition": sizes.dims or "unknown",
        "disk": disk_text(located.folder.path, needed),
        **{f"data.{key}": value for key, value in config.data.model_dump().items()},
    }
    console.emit({**facts, "disk_bytes": needed})
    console.show_facts(facts)


def dry_run(request: TrainRequest, console: Console) -> None:
    """Print what ``train`` would do: files, parameters, updates, time, disk and configuration.

    Where the data to train on are not there yet, placeholders of the expected sizes take their place, so that
    everything else is made and checked as for the real run.
    """
    dataset, config, run = request.dataset, request.config, request.run
    family = family_of(config.model.arch)
    device, _ = choose_device(request.device), use_threads(request.threads)
    refuse_locked(run.path)
    sizes = estimate_sizes(dataset, config.data, console)
    data = family.current(dataset, config, console)
    if dataset.folder.dataset.exists():
        config = settled(dataset, config, data)
    if data and run.record.exists() and not request.force:
        check_resumable(run, config, data)
    facts: dict[str, Any] = {
        "run": str(run.path),
        "there already": run.record.exists(),
        "dataset": str(dataset.folder.dataset),
        "dataset is there": dataset.folder.dataset.exists(),
        **family.facts(data),
        "transitions": sizes.text,
        "device": str(device),
    }
    usable = data or placeholder_data(dataset, config, sizes)
    needed = None
    if usable is None:
        facts |= dict.fromkeys(("parameters", "updates", "estimated time"), "unknown before the data is here")
    else:
        job = family.prepare(config, usable, dataset.step_limit, device)
        warn_early(request, job, console)
        facts |= _effort(request, job)
        new_data = 0 if data else family.data_bytes(config, sizes)
        needed = total_bytes([_checkpoint_bytes(job, config), new_data, missing_dataset_bytes(dataset, sizes)])
    facts["disk"] = disk_text(run.path, needed)
    console.emit({**facts, "disk_bytes": needed, "config": config.model_dump()})
    console.show_facts(facts)
    console.show(dump_config(config).rstrip())


def _effort(request: TrainRequest, job: TrainJob) -> dict[str, Any]:
    """The size of a job, and the time that what is left of it takes."""
    done = 0 if request.force else max(saved_steps(request.run.checkpoints), default=0)
    resumed = f" from update {done:,} on" if done else ""
    return {
        "parameters": count_parameters(job.model),
        "updates": job.settings.updates,
        "estimated time": duration(estimate_seconds(job, done)) + resumed,
    }


def _checkpoint_bytes(job: TrainJob, config: Config) -> int:
    """Bytes of the checkpoints that are kept, and of the one being written."""
    each = 4 * count_parameters(job.model) + OPTIMIZER_STATE_BYTES * count_trainable(job.model)
    return each * (config.train.keep_checkpoints + 1)


def placeholder_data(dataset: DatasetRef, config: Config, sizes: Sizes) -> TrainingData | None:
    """Data of the expected sizes and of no meaning, in episodes of the usual length."""
    transitions = sizes.transitions or ASSUMED_TRANSITIONS
    offsets = np.append(np.arange(0, transitions, EPISODE_STEPS), transitions)
    return family_of(config.model.arch).placeholder(dataset, config, sizes, offsets)
