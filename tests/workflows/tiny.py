"""A run directory whose dataset and models take no time, for tests that call the workflows' functions directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.artifacts.facts import write_dataset
from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.console import Console
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineRequest
from seqrl_cli.workflows.train.run import run as train
from seqrl_cli.workflows.train.setup import TrainRequest

NAME, ENVIRONMENT, LIMIT = "collected/pendulum", "Pendulum-v1", 200
LENGTH, EPISODES = 20, 5
_MODEL: dict[str, Any] = {"model.n_layer": 1, "model.width": 8}
_WINDOWS: dict[str, Any] = {"model.n_head": 2, "model.sequence_length": 4, "plan.max_context_transitions": 3}
_TRAIN: dict[str, Any] = {"train.updates": 2, "train.batch_size": 4, "train.checkpoint_every": 1, "train.log_every": 1}
_SEARCH: dict[str, Any] = {"data.bins": 8, "plan.horizon": 2, "plan.beam_width": 4}
TINY: dict[str, dict[str, Any]] = {
    "gpt": {**_MODEL, **_WINDOWS, **_TRAIN, **_SEARCH},
    "retnet": {**_MODEL, **_WINDOWS, **_TRAIN, **_SEARCH},
    "dt": {**_MODEL, **_WINDOWS, **_TRAIN, "policy.curve": "constant"},
    "odt": {**_MODEL, **_WINDOWS, **_TRAIN},
    "bc": {**_MODEL, **_TRAIN},
}
MDDT: dict[str, Any] = {**_MODEL, **_TRAIN}

SHORT: dict[str, Any] = {
    "online.iterations": 2,
    "online.envs": 1,
    "online.updates": 1,
    "online.capacity": 4,
    "online.eval_episodes": 1,
    "online.max_steps": 3,
}


class Heard(Console):
    """A console that remembers warnings and notes."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def note(self, message: str) -> None:
        self.notes.append(message)


def swings(episodes: int = EPISODES, sizes: tuple[int, int] = (3, 1), seed: int = 0) -> Episodes:
    """Whole episodes of LENGTH steps, with negative returns as in ENVIRONMENT."""
    rng, rows = np.random.default_rng(seed), episodes * LENGTH
    ends = np.arange(rows) % LENGTH == LENGTH - 1
    observations, actions = rng.normal(size=(rows, sizes[0])), rng.uniform(-1, 1, (rows, sizes[1]))
    return Episodes.from_flags(observations, actions, rng.uniform(-9, -1, rows), ends & False, ends)


def make_store(root: Path) -> RunStore:
    """A run directory with the dataset NAME and no run."""
    store = RunStore(root)
    write_dataset(store.dataset(NAME).dataset, swings(), {"env_id": ENVIRONMENT, "source": "collected"})
    return store


def make_request(store: RunStore, arch: str, *, dataset: str = NAME, force: bool = False, **keys: Any) -> TrainRequest:
    """A tiny training; ``keys`` are dotted keys with ``__`` for the dot."""
    tiny = MDDT if arch == "mddt" else TINY[arch]
    asked = {"model.arch": arch, **tiny, **{key.replace("__", "."): value for key, value in keys.items()}}
    located, config = dataset_config(store, dataset, size="laptop", preset="base", overrides=asked)
    return TrainRequest(located, config, device="cpu", threads=1, force=force)


def make_runs(root: Path) -> None:
    """Fill a run directory with the dataset and a run of every architecture."""
    store = make_store(root)
    for arch in TINY:
        train(make_request(store, arch), Heard())


def tuning(
    store: RunStore, run: str = "odt-s42", *, name: str | None = None, force: bool = False, **keys: Any
) -> FinetuneOnlineRequest:
    """A tiny fine-tuning; ``keys`` as in :func:`make_request`."""
    overrides = {**SHORT, **{key.replace("__", "."): value for key, value in keys.items()}}
    return FinetuneOnlineRequest(store, run, overrides, name=name, device="cpu", threads=1, force=force)
