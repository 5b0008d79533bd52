"""Meta-World's 50 manipulation tasks (Yu et al., 2019, arXiv 1910.10897) with gymnasium's interface.

Every episode has a new goal and a new place of the objects, as in Continual World's ``random_init_all`` and in L2M's
evaluation. A goal is a number: the same number always gives the same goal. The numbers are split in two halves that
never meet, so that a model can be evaluated on goals that its data does not contain.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np

Goals: TypeAlias = Literal["seen", "held-out"]
"""Goals of the data, or goals that no dataset made here contains."""

GOALS: dict[Goals, range] = {"seen": range(2**30), "held-out": range(2**30, 2**31)}
"""The numbers of the goals of each half of the split."""

EPISODE_STEPS = 200

_LOWEST, _HIGHEST = (np.array(bound, np.float32) for bound in (-1.0, 1.0))


class MetaWorldEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One task: observations ``(39,)`` float64 with the goal in the last three entries, actions ``(4,)`` in [-1, 1].

    Rewards are Meta-World's second version, 0 to 10 per step. Nothing terminates an episode; ``info["success"]`` states
    whether the task is solved at this step.

    Args:
        task: Meta-World's name, for example ``hammer-v3``.
        goals: name of the half of the goals that episodes draw from.
        render_mode: ``rgb_array`` or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 80}

    def __init__(self, task: str, goals: Goals = "seen", render_mode: str | None = None) -> None:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        self.render_mode = render_mode
        self._goals = GOALS[goals]
        make: Any = ALL_V3_ENVIRONMENTS[task]
        self._env = make(render_mode=render_mode, camera_name="corner2", width=320, height=240)
        _show_goal(self._env)
        low, high = self._env.sawyer_observation_space.low, self._env.sawyer_observation_space.high
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode with the next goal of the random stream; ``info["goal"]`` is its number."""
        super().reset(seed=seed)
        goal = int(self.np_random.integers(self._goals.start, self._goals.stop))
        self._env.seed(goal)
        observation, _ = self._env.reset()
        return observation, {"goal": goal}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step; the step limit belongs to gymnasium's wrapper."""
        clipped = np.minimum(np.maximum(action, _LOWEST), _HIGHEST)  # np.clip takes three times as long
        observation, reward, _, _, info = self._env.step(clipped)
        return observation, float(reward), False, False, {"success": bool(info["success"])}

    def render(self) -> np.ndarray | None:
        """An image ``(240, 320, 3)`` uint8 of the current state."""
        if self.render_mode is None:
            return None
        return np.asarray(self._env.render(), np.uint8)[::-1].copy()

    def close(self) -> None:
        """Free the simulation."""
        self._env.close()


def _show_goal(env: Any) -> None:
    """Make a bare task draw a new goal at each reset, and show it in the observation of every step.

    ``MT1`` does the same and draws fifty goals first, which takes eight times as long. The bounds of observations are
    cached while the goal is still hidden; steps would clip the goal to them.
    """
    env._set_task_called = True
    env._partially_observable = False
    env._freeze_rand_vec = False
    env.seeded_rand_vec = True
    env.__dict__.pop("sawyer_observation_space", None)
