"""The size of a dataset: counted if it exists, else estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.dataset_settings import refuse_other_environment
from seqrl_cli.artifacts.mixture import DatasetMixture
from seqrl_cli.artifacts.sources import load_source
from seqrl_cli.behaviour.library import load_behaviour
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.discretizer import token_dtype
from seqrl_cli.data.domains import task_of
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.envs.fit import environment_spaces
from seqrl_cli.errors import SeqrlError

ASSUMED_TRANSITIONS = 1_000_000

# The usual sizes of D4RL's v2 datasets: a million, or these. They are estimates; the file itself decides.
_D4RL_REPLAY = {"hopper": 402_000, "halfcheetah": 202_000, "walker2d": 302_000, "ant": 302_000}
_D4RL_USUAL = {"medium-expert": 2_000_000}

_READ_BYTES = 2**30  # of episodes that are read for their spaces; larger ones are taken for vectors


@dataclass(frozen=True)
class Sizes:
    """How large a dataset is, or will be.

    Attributes:
        transitions: number of rows; None if unknown until the dataset exists.
        spaces: spaces of observations and actions; None likewise.
        counted: whether the numbers were counted in the data rather than estimated.
        env_id: gymnasium id of its environment, if it is known.
    """

    transitions: int | None
    spaces: Spaces | None
    counted: bool
    env_id: str | None = None

    @property
    def dims(self) -> int | None:
        """Tokens per transition: observation, action, reward, value."""
        return None if self.spaces is None else sum(self.spaces.sizes) + 2

    @property
    def text(self) -> str:
        """The number of transitions, for people."""
        if self.transitions is None:
            return "unknown until it is downloaded"
        return f"{self.transitions:,}" + ("" if self.counted else " (expected)")

    def dataset_bytes(self) -> int | None:
        """Size of ``dataset.h5``: its arrays and two flags, not compressed."""
        if self.transitions is None or self.spaces is None:
            return None
        return self.transitions * (self.spaces.stored_bytes + 4 + 2)

    def tokens_bytes(self, bins: int) -> int | None:
        """Size of ``tokens.h5``: one small integer per number, and the bin edges."""
        if self.transitions is None or self.dims is None:
            return None
        return self.dims * (self.transitions * token_dtype(bins).itemsize + 8 * (bins + 1))


def estimate_sizes(dataset: DatasetRef, data: DataConfig, console: Console) -> Sizes:
    """Count a dataset that exists, or estimate the size of one that does not.

    A user's file is read and checked completely, as it is when it is imported.

    Raises:
        SeqrlError: it cannot be loaded, or was made with other settings.
    """
    if isinstance(dataset, DatasetMixture):
        return _sum([estimate_sizes(part, data, console) for part in dataset.parts])
    spec, env_id = dataset.spec, data.env_id or dataset.env_id
    if dataset.exists:
        dataset.check(data)
        stored = dataset.stored_size()
        if stored.wide_bytes > _READ_BYTES:
            spaces = Spaces.of_vectors(math.prod(stored.shape), stored.action_dim)
            return Sizes(stored.transitions, spaces, counted=True, env_id=env_id)
        episodes = dataset.load_episodes()
    elif spec.source == "file":
        episodes, stated = load_source(spec, dataset.folder, data, console, dataset.store)
        env_id = env_id or (str(stated["env_id"]) if stated.get("env_id") else None)
    else:
        refuse_other_environment(spec, data.env_id)
        expected = spaces_if_known(spec.env_id, spec.observation_size)
        return Sizes(_expected_transitions(dataset, data), expected, counted=False, env_id=env_id)
    return Sizes(episodes.transitions, episodes.spaces, counted=True, env_id=env_id)


def _sum(parts: list[Sizes]) -> Sizes:
    """The size of several datasets together, whose observations and actions are alike."""
    transitions = [one.transitions for one in parts if one.transitions is not None]
    total = sum(transitions) if len(transitions) == len(parts) else None
    spaces = next((one.spaces for one in parts if one.spaces), None)
    return Sizes(total, spaces, all(one.counted for one in parts))


def _expected_transitions(dataset: DatasetRef, data: DataConfig) -> int | None:
    spec = dataset.spec
    if spec.transitions is not None:
        return spec.transitions
    if task := task_of(spec.env_id if spec.source == "sim" else None):
        return data.transitions or task.transitions
    if spec.source == "sim" and spec.family and spec.quality:
        return data.transitions or int(load_behaviour(spec.family).datasets[spec.quality]["transitions"])
    if not (spec.source == "d4rl" and spec.family and spec.id.endswith("-v2")):
        return None
    if spec.quality == "medium-replay":
        return _D4RL_REPLAY.get(spec.family)
    return _D4RL_USUAL.get(spec.quality or "", ASSUMED_TRANSITIONS)


def spaces_if_known(env_id: str | None, observation_size: int | None = None) -> Spaces | None:
    """The spaces of an environment; None if none is named or it cannot be made here.

    Args:
        env_id: gymnasium id.
        observation_size: number of leading observation dimensions that count; None = all.
    """
    try:
        return environment_spaces(env_id, observation_size) if env_id else None
    except SeqrlError:
        return None
