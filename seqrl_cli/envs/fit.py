"""Check whether data fits an environment, and cut its observations where needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from seqrl_cli.data.catalogue import list_datasets, scores_of_environment
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.make import make_env, space_sizes
from seqrl_cli.errors import SeqrlError

LoadedDataset = tuple[Episodes, dict[str, Any]]
"""Episodes, and the attributes to store with them."""


def fit_environment(episodes: Episodes, env_id: str, name: str) -> LoadedDataset:
    """Check that data fits an environment; cuts off ant's and kitchen's last dimensions, as the originals do.

    Args:
        episodes: the data.
        env_id: gymnasium id.
        name: of the data, for errors.

    Returns:
        The episodes, and attributes that state the environment and its reference scores.

    Raises:
        SeqrlError: there is no such environment, or its sizes differ from the data's.
    """
    facts: dict[str, Any] = {"env_id": env_id}
    known = next((spec for spec in list_datasets() if spec.env_id == env_id), None)
    kept = known.observation_size if known else None
    if kept and episodes.observation_dim > kept:
        episodes = replace(episodes, observations=np.ascontiguousarray(episodes.observations[:, :kept]))
        facts["observation_slice"] = kept
    if (episodes.observation_dim, episodes.action_dim) != environment_sizes(env_id, kept):
        hint = "name the environment of the data: data.env_id=…"
        raise misfit(name, episodes.observation_dim, episodes.action_dim, env_id, hint)
    references = scores_of_environment(env_id)
    if references:
        facts |= {"reference_min": references[0], "reference_max": references[1]}
    return episodes, facts


def environment_sizes(env_id: str, kept: int | None = None) -> tuple[int, int]:
    """Observation and action size of an environment; ``kept`` limits the observation size.

    Raises:
        SeqrlError: there is no such environment, or it is not installed.
    """
    env = make_env(env_id)
    try:
        observation_dim, action_dim = space_sizes(env)
    finally:
        env.close()
    return min(observation_dim, kept or observation_dim), action_dim


def misfit(name: str, observation_dim: int, action_dim: int, env_id: str, hint: str) -> SeqrlError:
    """Make the error for data and an environment that do not fit."""
    theirs = environment_sizes(env_id)
    sizes = f"{observation_dim} and {action_dim}, but {env_id} has {theirs[0]} and {theirs[1]}"
    return SeqrlError(f"{name} has observations and actions of sizes {sizes}", hint)
