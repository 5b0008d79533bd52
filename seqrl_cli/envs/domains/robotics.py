"""D4RL's kitchen and adroit in gymnasium-robotics' simulations, with D4RL's observations, rewards and ends.

Kitchen. Same: the 30 numbers of robot and objects (D4RL's observation also ends with 30 constant numbers of the goal,
which the originals cut off, too), the action, the start, the tasks, reward 1 for completing a task. Different: the
noise of the observed positions is gymnasium-robotics', a tenth of D4RL's for the robot and far less for the objects;
the reward in D4RL's kitchen files counts the tasks completed so far.

Adroit. Same: observation, action, reward, step limit, and termination when the pen is dropped. Different: MuJoCo 3
resolves contacts in another way than MuJoCo 2.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

_ROBOT = 9  # joint positions
_ROBOT_SPEEDS = 9
_OBJECTS = 21
_DROPPED = 0.075  # metres; below this height, D4RL ends the pen task


class KitchenEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A robot in a kitchen with four tasks.

    Args:
        tasks: names of the tasks in gymnasium-robotics.
        render_mode: ``rgb_array`` or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 12}

    def __init__(self, tasks: list[str], render_mode: str | None = None) -> None:
        from gymnasium_robotics.envs.franka_kitchen import KitchenEnv as Simulation

        self.render_mode = render_mode
        self.simulation = Simulation(tasks_to_complete=tasks, render_mode=render_mode)
        self.observation_space = gymnasium.spaces.Box(-8.0, 8.0, (_ROBOT + _OBJECTS,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (_ROBOT,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start with everything closed and off."""
        super().reset(seed=seed)
        observation, info = self.simulation.reset(seed=seed)
        return self._observe(observation), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move; the episode ends when all tasks are done."""
        observation, reward, terminated, _, info = self.simulation.step(action)
        return self._observe(observation), float(reward), bool(terminated), False, info

    def _observe(self, observation: dict[str, Any]) -> np.ndarray:
        """Positions of robot and objects, ``(30,)``, out of these and their velocities."""
        everything = observation["observation"]
        objects = everything[_ROBOT + _ROBOT_SPEEDS :][:_OBJECTS]
        return np.concatenate([everything[:_ROBOT], objects])

    def render(self) -> Any:
        """An image of the kitchen."""
        return self.simulation.render()

    def close(self) -> None:
        """Free the simulation."""
        self.simulation.close()


class AdroitEnv(gymnasium.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """A hand that writes, opens a door, hammers or carries a ball.

    Args:
        base: gymnasium-robotics' id.
        render_mode: ``rgb_array`` or None.
    """

    def __init__(self, base: str, render_mode: str | None = None) -> None:
        import gymnasium_robotics  # noqa: F401  registers its environments

        self._drops = base.startswith("AdroitHandPen")
        super().__init__(gymnasium.make(base, render_mode=render_mode, disable_env_checker=True).unwrapped)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move; D4RL's pen task ends when the pen is dropped."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        simulation: Any = self.env.unwrapped
        dropped = self._drops and simulation.data.xpos[simulation.obj_body_id][2] < _DROPPED
        return observation, float(reward), bool(terminated or dropped), truncated, info
