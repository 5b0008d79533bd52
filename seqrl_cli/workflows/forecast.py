"""Dry runs of ``download``, ``collect``, ``discretize`` and ``train``: the same checks, and nothing written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.behaviour.library import load_behaviour
from seqrl_cli.config.architectures import TOKEN_MODELS
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config, DataConfig
from seqrl_cli.console import Console, byte_size, duration
from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.remote import locations
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.envs.make import make_env, space_sizes
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import free_space
from seqrl_cli.runs.lock import refuse_locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.collect import CollectRequest, make_player
from seqrl_cli.workflows.datasets import Located, check_dataset, environment_or_none, load_episodes
from seqrl_cli.workflows.models import choose_device, use_threads
from seqrl_cli.workflows.policies import policy_data
from seqrl_cli.workflows.sources import obtain, refuse_other_environment
from seqrl_cli.workflows.tokens import current_tokens
from seqrl_cli.workflows.train import TrainRequest, check_same, warn_early
from seqrl_cli.workflows.train_job import (
    Job,
    TrainingData,
    count_parameters,
    estimate_seconds,
    pinned,
    prepare,
)

# D4RL states how many transitions its v2 sets have: a million, or two, and these of its replay buffers.
_D4RL_REPLAY = {"hopper": 402_000, "halfcheetah": 202_000, "walker2d": 302_000, "ant": 302_000}
_D4RL_USUAL = {"medium-expert": 2_000_000}
_ASSUMED = 1_000_000
OPTIMIZER_STATE_BYTES = 2 * 4  # AdamW's two moments of each weight, float32


@dataclass(frozen=True)
class Sizes:
    """How large a dataset is, or will be.

    Attributes:
        transitions: rows; None when nobody can say before it is here.
        observation_dim, action_dim: None likewise.
        counted: whether this was read off the data, and not expected.
    """

    transitions: int | None
    observation_dim: int | None
    action_dim: int | None
    counted: bool

    @property
    def dims(self) -> int | None:
        """Tokens a transition: observation, action, reward, value."""
        if self.observation_dim is None or self.action_dim is None:
            return None
        return self.observation_dim + self.action_dim + 2

    @property
    def text(self) -> str:
        """The transitions for a person."""
        if self.transitions is None:
            return "unknown before it is here"
        return f"{self.transitions:,}" + ("" if self.counted else " (expected)")

    def dataset_bytes(self) -> int | None:
        """Of ``dataset.h5``: float32 arrays and two flags, not compressed."""
        if self.transitions is None or self.dims is None:
            return None
        return self.transitions * (4 * (self.dims - 1) + 2)

    def tokens_bytes(self, bins: int) -> int | None:
        """Of ``tokens.h5``: one small integer a number, and the bin edges."""
        if self.transitions is None or self.dims is None:
            return None
        return self.dims * (self.transitions * token_dtype(bins).itemsize + 8 * (bins + 1))


def foresee_sizes(located: Located, data: DataConfig, console: Console) -> Sizes:
    """Count a dataset that is here, or say what to expect of one that is not.

    A file of the user's is read and checked whole, as it would be when it is taken in.

    Raises:
        SeqrlError: it cannot be had, or is not the one asked for.
    """
    spec = located.spec
    if located.folder.dataset.exists():
        check_dataset(located, data)
        episodes = load_episodes(located)
    elif spec.source == "file":
        episodes, _ = obtain(spec, located.folder, data, console, located.supply)
    else:
        refuse_other_environment(spec, data.env_id)
        observation_dim, action_dim = _environment_sizes(spec.env_id, spec.observation_size)
        return Sizes(_expected_transitions(located, data), observation_dim, action_dim, counted=False)
    return Sizes(episodes.transitions, episodes.observation_dim, episodes.action_dim, counted=True)


def _expected_transitions(located: Located, data: DataConfig) -> int | None:
    spec = located.spec
    if spec.source == "sim" and spec.family and spec.quality:
        return data.transitions or int(load_behaviour(spec.family).datasets[spec.quality]["transitions"])
    if not (spec.source == "d4rl" and spec.family and spec.id.endswith("-v2")):
        return None
    if spec.quality == "medium-replay":
        return _D4RL_REPLAY.get(spec.family or "")
    return _D4RL_USUAL.get(spec.quality or "", _ASSUMED)


def _environment_sizes(env_id: str | None, observation_size: int | None) -> tuple[int | None, int | None]:
    """Observation and action size of an environment; None where it is not known or not installed."""
    if env_id is None:
        return None, None
    try:
        env = make_env(env_id)
    except SeqrlError:
        return None, None
    observation_dim, action_dim = space_sizes(env)
    env.close()
    return observation_size or observation_dim, action_dim


def show_acquisition(located: Located, config: Config, console: Console, *, force: bool = False) -> None:
    """What ``download`` would do."""
    spec, there = located.spec, located.folder.dataset.exists()
    sizes = foresee_sizes(located, config.data, console)
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
    make_player(store, request)
    folder = store.dataset(request.dataset)
    sizes = Sizes(request.transitions, *_environment_sizes(request.env_id, None), counted=True)
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


def _origin(located: Located) -> str:
    """Where the data would come from."""
    spec = located.spec
    if not spec.files:
        return str(spec.path) if spec.path else "MuJoCo, on this machine"
    places = locations(spec.files[0], spec.source, located.supply.network)
    return places[0] if places else f"nowhere: {spec.url} is on the network, which --offline forbids"


def _fetched(size: int | None) -> str:
    return "as much as the server sends" if size is None else byte_size(size)


def show_tokens(located: Located, config: Config, console: Console, *, force: bool = False) -> None:
    """What ``discretize`` would do."""
    sizes = foresee_sizes(located, config.data, console)
    there = not force and current_tokens(located, config.data, console) is not None
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
    sizes = foresee_sizes(located, config.data, console)
    data = _current_data(located, config, console)
    if located.folder.dataset.exists():
        config = pinned(located, config, data)
    if data and run.record.exists() and not force:
        check_same(run, replace(request, config=config), data)
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
    stand_ins = data or _stand_ins(located, config, sizes)
    needed = None
    if stand_ins is None:
        facts |= dict.fromkeys(("parameters", "updates", "estimated time"), "unknown before the data is here")
    else:
        job = prepare(config, stand_ins, device)
        warn_early(config, job, console)
        facts |= {"parameters": count_parameters(job.model), "updates": job.settings.updates}
        facts["estimated time"] = duration(estimate_seconds(job))
        new_tokens = 0 if data or not speaks_tokens else sizes.tokens_bytes(config.data.bins)
        needed = _sum([_checkpoints(job, config), new_tokens, _missing_dataset(located, sizes)])
    facts["disk"] = _disk(run.path, needed)
    console.emit({**facts, "disk_bytes": needed, "config": config.model_dump()})
    console.show_facts(facts)
    console.show(dump_config(config).rstrip())


def _checkpoints(job: Job, config: Config) -> int:
    """Bytes of the checkpoints that are kept, and of the one being written."""
    return count_parameters(job.model) * (4 + OPTIMIZER_STATE_BYTES) * (config.train.keep_checkpoints + 1)


def _missing_dataset(located: Located, sizes: Sizes) -> int | None:
    return 0 if located.folder.dataset.exists() else sizes.dataset_bytes()


def _current_data(located: Located, config: Config, console: Console) -> TrainingData | None:
    """What a model of this configuration is trained on, if it is there."""
    if config.model.arch in TOKEN_MODELS:
        return current_tokens(located, config.data, console)
    if not located.folder.dataset.exists():
        return None
    return policy_data(load_episodes(located), environment_or_none(located))


def _stand_ins(located: Located, config: Config, sizes: Sizes) -> TrainingData | None:
    """Tokens or episodes of the expected sizes and of no meaning, in episodes of the usual length."""
    if sizes.observation_dim is None or sizes.action_dim is None or sizes.dims is None:
        return None
    transitions, bins = sizes.transitions or _ASSUMED, config.data.bins
    offsets = np.append(np.arange(0, transitions, EPISODE_STEPS), transitions)
    if config.model.arch not in TOKEN_MODELS:
        ends = np.isin(np.arange(transitions), offsets[1:] - 1)
        blank = np.zeros((transitions, sizes.observation_dim + sizes.action_dim + 1), np.float32)
        observations, actions, rewards = np.split(blank, [sizes.observation_dim, blank.shape[1] - 1], axis=1)
        episodes = Episodes.from_flags(observations, actions, rewards[:, 0], ends & False, ends)
        return policy_data(episodes, located.spec.env_id)
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
