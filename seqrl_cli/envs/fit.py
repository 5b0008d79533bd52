"""Check whether data fits an environment, and cut its observations where needed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

from seqrl_cli.data.catalogue import list_datasets, scores_of_environment
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.envs.make import make_env, spaces_of

LoadedDataset = tuple[Episodes, dict[str, Any]]
"""Episodes, and the attributes to store with them."""


def fit_environment(episodes: Episodes, env_id: str, name: str) -> LoadedDataset:
    """Check that data can be from an environment; for ant and kitchen, the last observation dimensions are cut off.

    Args:
        episodes: the data.
        env_id: gymnasium id.
        name: name of the data, for errors.

    Returns:
        The episodes, and attributes that state the environment and its reference scores.

    Raises:
        SizeMismatchError: the data have other observations or actions than the environment.
        SeqrlError: there is no such environment.
    """
    facts: dict[str, Any] = {"env_id": env_id}
    known = next((spec for spec in list_datasets() if spec.env_id == env_id), None)
    size = known.observation_size if known else None
    if size and episodes.observation_dim > size:
        episodes = episodes.first_observations(size)
        facts["observation_slice"] = size
    theirs = environment_spaces(env_id, size)
    episodes.spaces.require_fit(name, theirs, env_id, "name the environment that the data is from: data.env_id=…")
    references = scores_of_environment(env_id)
    if references:
        facts |= {"reference_min": references[0], "reference_max": references[1]}
    return replace(episodes, declared=episodes.spaces.with_bounds_of(theirs)), facts


def environment_spaces(env_id: str, observation_size: int | None = None) -> Spaces:
    """The spaces of an environment, with only the first ``observation_size`` numbers of observations; None keeps all.

    Raises:
        SeqrlError: there is no such environment, or it is not installed.
    """
    with closing(make_env(env_id)) as env:
        return spaces_of(env).first_observations(observation_size)
