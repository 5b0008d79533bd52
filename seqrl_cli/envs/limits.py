"""Limits of an environment: episode length and action bounds, some of them known even without its package."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from seqrl_cli.data.domains import task_of
from seqrl_cli.data.space import BoxSpace
from seqrl_cli.data.spaces import Spaces, UnsupportedSpacesError
from seqrl_cli.envs.make import episode_limit
from seqrl_cli.envs.probe import layout_of, seen_step_limit
from seqrl_cli.envs.registry import needed_extra, require, robotics_steps
from seqrl_cli.errors import SeqrlError

ActionBounds = tuple[np.ndarray, np.ndarray]
"""Lowest and highest action, (action_dim,) each."""


@dataclass(frozen=True)
class EnvironmentLimits:
    """Limits of an environment.

    Attributes:
        step_limit: longest episode in steps; None if unknown.
        action_bounds: bounds of actions, infinite where there is none; None if unknown, or if actions are discrete.
        spaces: observations and actions; None if unknown.
    """

    step_limit: int | None = None
    action_bounds: ActionBounds | None = None
    spaces: Spaces | None = None


def environment_limits(env_id: str, action_dim: int) -> EnvironmentLimits:
    """The limits of an environment; if it is not installed, those known without it.

    All continuous environments that extras install take actions between -1 and 1.

    Args:
        env_id: gymnasium id.
        action_dim: numbers per action.

    Raises:
        UnsupportedSpacesError: its spaces are neither boxes nor discrete.
    """
    try:
        layout = layout_of(env_id)
    except UnsupportedSpacesError:
        raise
    except SeqrlError:
        steps = known_step_limit(env_id)
        if task := task_of(env_id):
            return EnvironmentLimits(steps, _bounds(task.spaces), task.spaces)
        unit = np.ones(action_dim)
        return EnvironmentLimits(steps, (-unit, unit) if needed_extra(env_id) else None)
    return EnvironmentLimits(layout.max_episode_steps, _bounds(layout.spaces), layout.spaces)


def _bounds(spaces: Spaces) -> ActionBounds | None:
    return spaces.action.bounds if isinstance(spaces.action, BoxSpace) else None


def known_step_limit(env_id: str) -> int | None:
    """The step limit of an environment, which need not be installed; None if unknown."""
    return episode_limit(env_id) or seen_step_limit(env_id) or robotics_steps().get(env_id)


def own_step_limit(env_id: str) -> int | None:
    """The step limit that an environment was registered with; None if it has none or is unknown.

    ``module:Env-v0`` is registered when its module is imported, which making the environment does.

    Raises:
        SeqrlError: an environment of a module cannot be made.
    """
    if ":" in env_id:
        return layout_of(env_id).registered_steps
    with contextlib.suppress(SeqrlError):
        require(env_id)
    return known_step_limit(env_id)
