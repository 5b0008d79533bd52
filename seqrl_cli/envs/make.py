"""Make the environment that belongs to a dataset."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import FlattenObservation, TimeLimit, TransformObservation

from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.space import BoxSpace, DiscreteSpace, Space, has_colours_first
from seqrl_cli.data.spaces import Spaces, UnsupportedSpacesError
from seqrl_cli.envs.guard import Environment as Environment
from seqrl_cli.envs.guard import EnvironmentFailedError, GuardedEnv, check_spaces, naming_failures
from seqrl_cli.envs.missing import explained, import_module_of
from seqrl_cli.envs.registry import has_goals, register_d4rl, register_domains, require
from seqrl_cli.envs.trust import require_accepted

ACTIONS_HINT = "wrap its actions: models choose a vector (Box) or one of some choices (Discrete that starts at 0)"
OBSERVATIONS_HINT = "wrap its observations: models read vectors, or images of bytes"

FLATTENED = (
    gymnasium.spaces.Dict,
    gymnasium.spaces.Discrete,
    gymnasium.spaces.MultiBinary,
    gymnasium.spaces.MultiDiscrete,
    gymnasium.spaces.Tuple,
)
"""Kinds of observations that become one vector."""

register_d4rl()
register_domains()


def make_env(
    env_id: str,
    *,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    goals: str | None = None,
) -> Environment:
    """Make one environment with a step limit, because an episode might otherwise never end.

    D4RL's data was recorded in MuJoCo environments that no longer exist. ``Hopper-v4`` and the like have the same
    robots, observations and rewards, so gymnasium's warning that they are out of date is silenced. Observations in
    dictionaries, as in gymnasium-robotics, become one vector in the order of their keys. One of a number of states, as
    in Taxi, becomes a vector that is 1 at the state and 0 elsewhere. Images have their colours last, as in datasets.

    Args:
        env_id: gymnasium id, for example ``Hopper-v4``.
        render_mode: gymnasium render mode, for example ``rgb_array``.
        max_episode_steps: step limit; by default the registered one (1000 for locomotion), else ``EPISODE_STEPS``.
        goals: ``seen`` or ``held-out``; ignored by environments whose goals are not split.

    Raises:
        EnvironmentFailedError: it raised something.
        SeqrlError: the id does not exist, or names a module that the user never named; or a package that it needs is
            not installed, and the hint says how to install it.
    """
    require_accepted(env_id)
    importlib.import_module("seqrl_cli.envs.simulator")  # environments import MuJoCo, too
    require(env_id)
    name = import_module_of(env_id)
    # Not every environment has this argument.
    options = {"render_mode": render_mode} if render_mode else {}
    if goals and has_goals(env_id):
        options["goals"] = goals
    try:
        with warnings.catch_warnings(), naming_failures(env_id, "when it was made"):
            warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*not in the possible render_modes", category=UserWarning)
            env = gymnasium.make(name, max_episode_steps=max_episode_steps, disable_env_checker=True, **options)
            check_spaces(env)
            if env.spec is None or env.spec.max_episode_steps is None:
                env = TimeLimit(env, EPISODE_STEPS)
            if isinstance(env.observation_space, FLATTENED):
                env = FlattenObservation(env)
            return GuardedEnv(_with_colours_last(env), env_id)
    except EnvironmentFailedError as failure:
        raise explained(env_id, failure) from failure.__cause__


def _with_colours_last(env: Environment) -> Environment:
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype != np.uint8 or not has_colours_first(space.shape):
        return env
    low, high = (np.moveaxis(bound, 0, 2) for bound in (space.low, space.high))
    moved = gymnasium.spaces.Box(low, high, dtype=np.uint8)
    return TransformObservation(env, lambda image: np.ascontiguousarray(np.moveaxis(image, 0, 2)), moved)


def episode_limit(env_id: str) -> int | None:
    """The registered step limit of an environment; None if it has none or does not exist."""
    spec = gymnasium.registry.get(env_id.rpartition(":")[2])
    return spec.max_episode_steps if spec else None


def environment_name(env: Environment) -> str:
    """An environment as errors call it."""
    return f"environment {env.spec.id if env.spec else type(env.unwrapped).__name__!r}"


def spaces_of(env: Environment) -> Spaces:
    """The spaces of an environment.

    Raises:
        UnsupportedSpacesError: one of them is neither a box nor a number of choices from 0.
    """
    return Spaces(_space(env, "observations", env.observation_space), _space(env, "actions", env.action_space))


def _space(env: Environment, kind: str, space: gymnasium.Space[Any]) -> Space:
    if isinstance(space, gymnasium.spaces.Box) and space.dtype is not None:
        return BoxSpace.bounded(space.shape, space.dtype.name, space.low, space.high)
    if isinstance(space, gymnasium.spaces.Discrete) and space.start == 0:
        return DiscreteSpace(int(space.n))
    message = f"{environment_name(env)} has {kind} of kind {space}, neither a box nor choices from 0"
    raise UnsupportedSpacesError(message, ACTIONS_HINT if kind == "actions" else OBSERVATIONS_HINT)


def space_sizes(env: Environment) -> tuple[int, int]:
    """Observation and action size of an environment whose observations and actions are vectors.

    Raises:
        UnsupportedSpacesError: they are not, for example because actions are discrete.
    """
    return spaces_of(env).require_vectors(environment_name(env), ACTIONS_HINT)
