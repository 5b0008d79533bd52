"""The DeepMind Control Suite (Tassa et al., 2018, arXiv 1801.00690) with gymnasium's interface.

The suite's observations are dictionaries that differ from task to task. They become one vector in a fixed layout of
204 values, in which each kind of observation has its own place, as in L2M (Schmied et al., 2023, arXiv 2306.14884,
section 4): equal places mean equal things in every task, and what a task does not have is 0.
"""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
import numpy as np

from seqrl_cli.data.spaces import UnsupportedSpacesError
from seqrl_cli.envs.simulator import without_display
from seqrl_cli.errors import SeqrlError

LAYOUT = {
    "orientations": 14,
    "velocity": 27,
    "position": 8,
    "touch": 5,
    "target_position": 2,
    "dist_to_target": 1,
    "joint_angles": 21,
    "upright": 1,
    "target": 3,
    "head_height": 1,
    "extremities": 12,
    "torso_vertical": 3,
    "com_velocity": 3,
    "arm_pos": 16,
    "arm_vel": 8,
    "hand_pos": 4,
    "object_pos": 4,
    "object_vel": 3,
    "target_pos": 4,
    "orientation": 2,
    "to_target": 2,
    "joints": 14,
    "body_velocities": 45,
    "height": 1,
}
"""Length of each kind of observation, in the order of the layout."""

STARTS = dict(zip(LAYOUT, np.cumsum([0, *LAYOUT.values()])[:-1].tolist(), strict=True))
"""First place of each kind of observation."""

SIZE = sum(LAYOUT.values())
EPISODE_STEPS = 1000

_LOWEST, _HIGHEST = (np.array(bound, np.float32) for bound in (-1.0, 1.0))  # arrays halve the time to clip an action


class DMControlEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One task: observations ``(204,)`` float64 in the layout, actions in [-1, 1], rewards from 0 to 1 per step.

    Args:
        task: the suite's domain and task, for example ``cartpole-balance``.
        render_mode: ``rgb_array`` or None.

    Raises:
        UnsupportedSpacesError: an observation has no place in the layout, or its actions have no bounds.
        SeqrlError: the task cannot be made with the installed versions.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}

    def __init__(self, task: str, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._name = f"dmc/{task}"
        self._env, specs = _load(task, self._name)
        if render_mode is not None:
            _allow_drawing()
        self._places = [
            (kind, _place(self._name, kind, spec.shape), len(spec.shape) > 1) for kind, spec in specs.items()
        ]
        action = self._env.action_spec()
        if not (action.minimum.min() >= -1.0 and action.maximum.max() <= 1.0):
            raise UnsupportedSpacesError(f"the actions of {self._name} have no bounds", "choose another task")
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (SIZE,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, action.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; its start depends on the seed alone."""
        super().reset(seed=seed)
        self._env.task.random.seed(int(self.np_random.integers(2**32)))
        return self._vector(self._env.reset().observation), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step; an episode terminates where its task ends early, and the suite's own time limit truncates it."""
        result = self._env.step(np.minimum(np.maximum(action, _LOWEST), _HIGHEST))  # np.clip takes three times as long
        observation, reward = self._vector(result.observation), float(result.reward)
        if not result.last():
            return observation, reward, False, False, {}
        terminated = result.discount == 0.0
        return observation, reward, terminated, not terminated, {}

    def render(self) -> np.ndarray | None:
        """An image ``(240, 320, 3)`` uint8 of the current state."""
        if self.render_mode is None:
            return None
        return np.asarray(self._env.physics.render(240, 320, camera_id=0), np.uint8)

    def close(self) -> None:
        """Free the simulation."""
        self._env.close()

    def _vector(self, observation: dict[str, Any]) -> np.ndarray:
        vector = np.zeros(SIZE)
        for kind, place, is_table in self._places:
            vector[place] = observation[kind].ravel() if is_table else observation[kind]
        return vector


def lay_out(task: str, rows: np.ndarray) -> np.ndarray:
    """Observations of a task that stand one after the other, in their places of the layout.

    Args:
        task: the suite's domain and task.
        rows: (n, size) all observations of a step in the order in which the suite lists them.

    Returns:
        (n, 204) of the same type, or ``rows`` themselves if they have another size than the task's observations.

    Raises:
        UnsupportedSpacesError: an observation has no place in the layout.
        SeqrlError: the task cannot be made with the installed versions.
    """
    name = f"dmc/{task}"
    env, specs = _load(task, name)
    env.close()
    places = [_place(name, kind, spec.shape) for kind, spec in specs.items()]
    targets = np.concatenate([np.arange(place.start, place.stop) for place in places])
    if len(targets) != rows.shape[1]:
        return rows
    laid_out = np.zeros((len(rows), SIZE), rows.dtype)
    laid_out[:, targets] = rows
    return laid_out


def _place(name: str, kind: str, shape: tuple[int, ...]) -> slice:
    """Where an observation of an environment goes in the layout."""
    size = int(np.prod(shape, dtype=int))
    if size > LAYOUT.get(kind, 0):
        room = f"room for {LAYOUT[kind]}" if kind in LAYOUT else "no place"
        message = f"{name} observes {size} numbers of {kind}, for which the layout has {room}"
        raise UnsupportedSpacesError(message, "choose another task: seqrl download --list dmc")
    return slice(STARTS[kind], STARTS[kind] + size)


def _allow_drawing() -> None:
    """Let the suite choose again how it draws, if it was told not to when it was imported."""
    from dm_control import _render

    if _render.BACKEND in _render.constants.NO_RENDERER:
        importlib.reload(_render)


def _load(task: str, name: str) -> tuple[Any, Any]:
    """The suite's environment, and what it observes."""
    try:
        with without_display():
            from dm_control import suite
        env = suite.load(*task.split("-", 1))
        return env, env.observation_spec()
    except Exception as error:  # some of its tasks use parts of NumPy that are gone
        message = f"environment {name!r} cannot be made with the installed dm_control: {type(error).__name__}: {error}"
        raise SeqrlError(message, "choose another task: seqrl download --list dmc") from error
