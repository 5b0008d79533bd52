"""Check whether data fits an environment, and cut its observations where needed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from seqrl_cli.data.catalogue import list_datasets, scores_of_environment
from seqrl_cli.data.domains import task_of
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.states import with_all_states
from seqrl_cli.envs.limits import ActionBounds
from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.probe import check_in_subprocess, layout_of
from seqrl_cli.errors import SeqrlError

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
    if has_states(env_id):
        episodes = with_all_states(episodes, theirs.observation.size)
    episodes = laid_out(episodes, env_id, theirs)
    episodes.spaces.require_fit(name, theirs, env_id, "name the environment that the data is from: data.env_id=…")
    references = scores_of_environment(env_id)
    if references:
        facts |= {"reference_min": references[0], "reference_max": references[1]}
    return replace(episodes, declared=episodes.spaces.with_bounds_of(theirs)), facts


def laid_out(episodes: Episodes, env_id: str, theirs: Spaces) -> Episodes:
    """The episodes with their observations in the environment's layout, where another form of it is recognized.

    Images of one channel are published as ``(1, height, width)``, and the Control Suite's observations without the
    places of those that a task does not have.

    Args:
        episodes: the data.
        env_id: gymnasium id of their environment.
        theirs: spaces of the environment.

    Returns:
        Episodes that may still not fit the environment.

    Raises:
        SeqrlError: the Control Suite, which knows the layout, cannot be loaded.
    """
    shape, wanted = episodes.observations.shape[1:], theirs.observation.shape
    if shape == wanted:
        return episodes
    if len(shape) > 1 and [size for size in shape if size > 1] == [size for size in wanted if size > 1]:
        return replace(episodes, observations=episodes.observations.reshape(-1, *wanted), declared=None)
    task = task_of(env_id)
    if task is None or task.domain != "dmc" or len(shape) != 1:
        return episodes
    from seqrl_cli.envs.domains.dmc import lay_out

    return replace(episodes, observations=lay_out(task.name, episodes.observations), declared=None)


def with_all_actions(episodes: Episodes, env_id: str, name: str) -> Episodes:
    """Episodes of a game of Atari whose actions are numbered among those with an effect, with ALE's numbers.

    Args:
        episodes: the data; others than Atari's are returned unchanged.
        env_id: gymnasium id of their environment.
        name: name of the data, for errors.

    Raises:
        SeqrlError: an action is not among them, or the game cannot be loaded.
    """
    task = task_of(env_id)
    if task is None or task.domain != "atari":
        return episodes
    check_in_subprocess(env_id)
    from seqrl_cli.envs.domains.atari import effective_actions

    numbers = effective_actions(task.arguments["rom"])
    if (largest := int(episodes.actions.max())) >= len(numbers):
        message = f"{name} has the action {largest}, but {env_id} has {len(numbers)} with an effect, numbered from 0"
        raise SeqrlError(message, "name the game that the data is from: data.env_id=atari/…")
    return replace(episodes, actions=numbers[episodes.actions], declared=None)


def has_states(env_id: str) -> bool:
    """Whether an environment's observation is one of a number of states.

    Raises:
        SeqrlError: there is no such environment, or it is not installed.
    """
    check_in_subprocess(env_id)
    with closing(make_env(env_id)) as env:
        return isinstance(env.unwrapped.observation_space, gymnasium.spaces.Discrete)


def environment_spaces(env_id: str, observation_size: int | None = None) -> Spaces:
    """The spaces of an environment, with only the first ``observation_size`` numbers of observations; None keeps all.

    Raises:
        SeqrlError: there is no such environment, or it is not installed.
    """
    return layout_of(env_id).spaces.first_observations(observation_size)


_TOLERANCE = 1e-5  # of the box's width: rounding in float32, which is no action outside
_CLIPPED = "`seqrl plan` clips actions to them"
_OTHER_SCALE = 0.01  # of the box's bounds: if no action is larger, the data are probably in other units


def describe_misfit(
    actions: np.ndarray, bounds: ActionBounds, env_id: str, *, within_bounds: bool = False
) -> str | None:
    """What is odd about actions that lie outside an environment's bounds, or are far smaller; None if all is well.

    Args:
        actions: (transitions, action_dim).
        bounds: lowest and highest action, finite, (action_dim,) each.
        env_id: gymnasium id.
        within_bounds: whether they are for a model that predicts no action outside the bounds.
    """
    low, high = bounds
    if not actions.size:
        return None
    beyond = np.maximum(low - actions, actions - high)
    outside = int((beyond > _TOLERANCE * (high - low)).sum())
    if outside:
        percent = 100 * outside / actions.size
        share = f"{percent:.0f} % of the" if percent >= 1 else f"{outside:,} of {actions.size:,}"
        what = "a model that predicts actions within the bounds cannot reproduce them" if within_bounds else _CLIPPED
        return f"{share} action values lie outside {env_id}'s bounds, by up to {beyond.max():.2g}; {what}"
    scale = np.maximum(np.abs(low), np.abs(high))
    used = scale > 0  # a bound may be [0, 0]
    largest = float((np.abs(actions[:, used]) / scale[used]).max(initial=0.0))
    if used.any() and largest < _OTHER_SCALE:
        what = "if they are in other units, convert them and download the dataset again"
        return f"no action is larger than {100 * largest:.2g} % of {env_id}'s bounds; {what}"
    return None
