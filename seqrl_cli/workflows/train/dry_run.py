"""Dry runs of ``download``, ``collect``, ``discretize`` and ``train``: the same checks, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.policy_data import policy_data
from seqrl_cli.artifacts.sizes import ASSUMED_TRANSITIONS, Sizes, estimate_sizes, sizes_if_known
from seqrl_cli.artifacts.token_model import choose_device, use_threads
from seqrl_cli.artifacts.tokens import current_tokens
from seqrl_cli.config.architectures import TOKEN_MODELS
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, byte_size, duration
from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.download.mirrors import locations
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.runs.atomic import free_space
from seqrl_cli.runs.lock import refuse_locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import saved_steps
from seqrl_cli.workflows.data.collect import CollectRequest, make_player
from seqrl_cli.workflows.train.resume import check_same
from seqrl_cli.workflows.train.run import TrainRequest, warn_early
from seqrl_cli.workflows.train.setup import (
    TrainingData,
    TrainJob,
    count_parameters,
    count_trainable,
    estimate_seconds,
    pinned,
    prepare,
)

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
        "disk": _disk(located.folder.path, needed) + more,
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
        "disk": _disk(folder.path, sizes.dataset_bytes()),
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
    needed = _sum([0 if there else sizes.tokens_bytes(config.data.bins), _missing_dataset(located, sizes)])
    facts = {
        "dataset": located.id,
        "dataset file": str(located.folder.dataset),
        "dataset is there": located.folder.dataset.exists(),
        "tokens file": str(located.folder.tokens),
        "tokens are there": there,
        "transitions": sizes.text,
        "tokens a transition": sizes.dims or "unknown",
        "disk": _disk(located.folder.path, needed),
        **{f"data.{key}": value for key, value in config.data.model_dump().items()},
    }
    console.emit({**facts, "disk_bytes": needed})
    console.show_facts(facts)


def show_training(request: TrainRequest, console: Console, *, force: bool = False) -> None:
    """What ``train`` would do: files, parameters, updates, time, disk and configuration.

    Where the tokens, or a policy's episodes, are not there yet, stand-ins of the expected sizes take their place, so
    that everything else is made and checked as for the real run.
    """
    located, config, run = request.located, request.config, request.run
    device, _ = choose_device(request.device), use_threads(request.threads)
    refuse_locked(run.path)
    sizes = estimate_sizes(located, config.data, console)
    data = current_data(located, config, console)
    if located.folder.dataset.exists():
        config = pinned(located, config, data)
    if data and run.record.exists() and not force:
        check_same(run, config, data)
    speaks_tokens = config.model.arch in TOKEN_MODELS
    facts: dict[str, Any] = {
        "run": str(run.path),
        "there already": run.record.exists(),
        "dataset": str(located.folder.dataset),
        "dataset is there": located.folder.dataset.exists(),
        **({"tokens are there": data is not None} if speaks_tokens else {}),
        "transitions": sizes.text,
        "device": str(device),
    }
    assumed = data or placeholder_data(located, config, sizes)
    needed = None
    if assumed is None:
        facts |= dict.fromkeys(("parameters", "updates", "estimated time"), "unknown before the data is here")
    else:
        job = prepare(config, assumed, located.step_limit, device)
        warn_early(request, job, console)
        facts |= {"parameters": count_parameters(job.model), "updates": job.settings.updates}
        done = 0 if force else max(saved_steps(run.checkpoints), default=0)
        facts["estimated time"] = duration(estimate_seconds(job, done)) + (f" from update {done:,} on" if done else "")
        new_tokens = 0 if data or not speaks_tokens else sizes.tokens_bytes(config.data.bins)
        needed = _sum([_checkpoints(job, config), new_tokens, _missing_dataset(located, sizes)])
    facts["disk"] = _disk(run.path, needed)
    console.emit({**facts, "disk_bytes": needed, "config": config.model_dump()})
    console.show_facts(facts)
    console.show(dump_config(config).rstrip())


def _checkpoints(job: TrainJob, config: Config) -> int:
    """Bytes of the checkpoints that are kept, and of the one being written."""
    each = 4 * count_parameters(job.model) + OPTIMIZER_STATE_BYTES * count_trainable(job.model)
    return each * (config.train.keep_checkpoints + 1)


def _missing_dataset(located: DatasetRef, sizes: Sizes) -> int | None:
    return 0 if located.folder.dataset.exists() else sizes.dataset_bytes()


def current_data(located: DatasetRef, config: Config, console: Console) -> TrainingData | None:
    """What a model of this configuration is trained on, if it is there."""
    if config.model.arch in TOKEN_MODELS:
        return current_tokens(located, config.data, console.warn)
    if not located.folder.dataset.exists():
        return None
    return policy_data(located, located.load_episodes())


def placeholder_data(located: DatasetRef, config: Config, sizes: Sizes) -> TrainingData | None:
    """Tokens or episodes of the expected sizes and of no meaning, in episodes of the usual length."""
    if sizes.observation_dim is None or sizes.action_dim is None or sizes.dims is None:
        return None
    transitions, bins = sizes.transitions or ASSUMED_TRANSITIONS, config.data.bins
    offsets = np.append(np.arange(0, transitions, EPISODE_STEPS), transitions)
    if config.model.arch not in TOKEN_MODELS:
        ends = np.isin(np.arange(transitions), offsets[1:] - 1)
        blank = np.zeros((transitions, sizes.observation_dim + sizes.action_dim + 1), np.float32)
        observations, actions, rewards = np.split(blank, [sizes.observation_dim, blank.shape[1] - 1], axis=1)
        episodes = Episodes.from_flags(observations, actions, rewards[:, 0], ends & False, ends)
        return policy_data(located, episodes)
    return TokenizedDataset(
        tokens=np.zeros((transitions, sizes.dims), token_dtype(bins)),
        offsets=offsets,
        returns=np.zeros(len(offsets) - 1),
        discretizer=Discretizer(np.zeros((bins + 1, sizes.dims)), config.data.discretizer),
        observation_dim=sizes.observation_dim,
        action_dim=sizes.action_dim,
        discount=config.data.discount,
        termination_penalty=config.data.termination_penalty,
        dataset_id=located.id,
        env_id=located.spec.env_id,
        observation_slice=located.spec.observation_size,
        fingerprint="",
    )


def _sum(needs: list[int | None]) -> int | None:
    """The sum, when all parts are known."""
    known = [need for need in needs if need is not None]
    return sum(known) if len(known) == len(needs) else None


def _disk(folder: Path, needed: int | None) -> str:
    free = free_space(folder)
    told = f"{byte_size(free)} are free"
    if needed is None:
        return f"unknown ({told})"
    return f"{byte_size(needed)} ({'but only ' if needed > free else ''}{told})"
