"""Make the environment that belongs to a dataset."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
from gymnasium.error import DependencyNotInstalled
from gymnasium.error import Error as GymnasiumError
from gymnasium.wrappers import FlattenObservation, TimeLimit

from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.spaces import BoxSpace, DiscreteSpace, Space, Spaces, UnsupportedSpacesError
from seqrl_cli.envs.registry import register_d4rl, require
from seqrl_cli.errors import SeqrlError, nearest

Environment = gymnasium.Env[Any, Any]

VECTORS_HINT = "choose an environment with continuous control, for example 'Hopper-v4'"

register_d4rl()


def make_env(env_id: str, *, render_mode: str | None = None, max_episode_steps: int | None = None) -> Environment:
    """Make one environment with a step limit, because an episode might otherwise never end.

    D4RL's data was recorded in MuJoCo environments that no longer exist. ``Hopper-v4`` and the like have the same
    robots, observations and rewards, so gymnasium's warning that they are out of date is silenced. Observations in
    dictionaries, as in gymnasium-robotics, become one vector in the order of their keys.

    Args:
        env_id: gymnasium id, for example ``Hopper-v4``.
        render_mode: gymnasium render mode, for example ``rgb_array``.
        max_episode_steps: step limit; by default the registered one (1000 for locomotion), else ``EPISODE_STEPS``.

    Raises:
        SeqrlError: the id does not exist, or a package that it needs is not installed; the hint says how to install it.
    """
    require(env_id)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
            # Not every environment has this argument.
            rendering = {"render_mode": render_mode} if render_mode else {}
            env = gymnasium.make(env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **rendering)
    except (GymnasiumError, ImportError) as error:
        if isinstance(error, DependencyNotInstalled) and "mujoco_py" not in str(error):  # a dead package
            raise SeqrlError(f"environment {env_id!r} needs a package that is not installed", str(error)) from error
        close = _suggestion(env_id)
        hint = f"did you mean {close!r}?" if close else "gymnasium ids look like 'Hopper-v4'."
        raise SeqrlError(f"there is no environment {env_id!r} here: {_first_sentence(error)}", hint) from error
    if env.spec is None or env.spec.max_episode_steps is None:
        env = TimeLimit(env, EPISODE_STEPS)
    return FlattenObservation(env) if isinstance(env.observation_space, gymnasium.spaces.Dict) else env


def episode_limit(env_id: str) -> int | None:
    """The registered step limit of an environment; None if it has none or does not exist."""
    spec = gymnasium.registry.get(env_id)
    return spec.max_episode_steps if spec else None


def environment_name(env: Environment) -> str:
    """An environment as errors call it."""
    return f"environment {env.spec.id if env.spec else type(env).__name__!r}"


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
    raise UnsupportedSpacesError(message, VECTORS_HINT)


def space_sizes(env: Environment) -> tuple[int, int]:
    """Observation and action size of an environment whose observations and actions are vectors.

    Raises:
        UnsupportedSpacesError: they are not, for example because actions are discrete.
    """
    return spaces_of(env).require_vectors(environment_name(env), VECTORS_HINT)


def recordable_spaces(env: Environment) -> Spaces:
    """The spaces of an environment whose episodes fit in a dataset file: vectors, or vectors and discrete actions.

    Raises:
        UnsupportedSpacesError: observations or actions are of another kind, for example images.
    """
    spaces = spaces_of(env)
    fits = spaces.observation.is_vector and (spaces.action.is_vector or isinstance(spaces.action, DiscreteSpace))
    if not fits:
        raise UnsupportedSpacesError(f"{environment_name(env)} has {spaces.text}, not vectors", VECTORS_HINT)
    return spaces


def _suggestion(env_id: str) -> str | None:
    """The same environment in version 4, today's version of D4RL's MuJoCo environments; else the nearest name."""
    current = f"{env_id.rpartition('-v')[0]}-v4"
    if current in gymnasium.registry:
        return current
    return nearest(env_id, gymnasium.registry.keys() - {env_id})


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ")[0].rstrip(".")
