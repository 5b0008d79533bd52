"""Dry run of ``train``: the same checks, and nothing written."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.disk import disk_text, missing_dataset_bytes, total_bytes
from seqrl_cli.artifacts.policy_data import policy_data
from seqrl_cli.artifacts.sizes import ASSUMED_TRANSITIONS, Sizes, estimate_sizes
from seqrl_cli.artifacts.token_model import choose_device, use_threads
from seqrl_cli.artifacts.tokens import current_tokens
from seqrl_cli.config.architectures import TOKEN_MODELS
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, duration
from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.runs.lock import refuse_locked
from seqrl_cli.training.checkpoints import OPTIMIZER_STATE_BYTES, saved_steps
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
    if located.exists:
        config = pinned(located, config, data)
    if data and run.record.exists() and not force:
        check_same(run, config, data)
    speaks_tokens = config.model.arch in TOKEN_MODELS
    facts: dict[str, Any] = {
        "run": str(run.path),
        "there already": run.record.exists(),
        "dataset": located.target,
        "dataset is there": located.exists,
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
        needed = total_bytes([_checkpoints(job, config), new_tokens, missing_dataset_bytes(located, sizes)])
    facts["disk"] = disk_text(run.path, needed)
    console.emit({**facts, "disk_bytes": needed, "config": config.model_dump()})
    console.show_facts(facts)
    console.show(dump_config(config).rstrip())


def _checkpoints(job: TrainJob, config: Config) -> int:
    """Bytes of the checkpoints that are kept, and of the one being written."""
    each = 4 * count_parameters(job.model) + OPTIMIZER_STATE_BYTES * count_trainable(job.model)
    return each * (config.train.keep_checkpoints + 1)


def current_data(located: DatasetRef, config: Config, console: Console) -> TrainingData | None:
    """What a model of this configuration is trained on, if it is there."""
    if config.model.arch in TOKEN_MODELS:
        return current_tokens(located, config.data, console.warn)
    if not located.exists:
        return None
    return policy_data(located, located.load_vectors())


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
