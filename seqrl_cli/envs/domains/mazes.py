"""D4RL's antmaze and maze2d in gymnasium-robotics' simulations: D4RL's coordinates, resets, goals and rewards.

gymnasium-robotics puts a maze's centre at the origin, lets y decrease with the row, and adds the goal to the
observation. The maps are reordered here so that its axes are D4RL's; the remaining difference is a shift.

Same as in D4RL: observations and their order, actions and their effect, walls, distribution of starts, goals, rewards,
terminations, step limits; for the ant also motors, time step and contacts, which differ from gymnasium's ant.
Different: MuJoCo 3 integrates and resolves contacts in another way than MuJoCo 2, and the random numbers differ.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

REACHED = 0.5  # metres, or cells, from the goal
_CELL = 4.0  # metres; antmaze's maze_size_scaling
_BALL_OFFSET = 0.2  # maze2d's ball stands at its coordinates + 1.2, the walls at theirs + 1.0


class _MazeEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Common part of both mazes: a simulation of gymnasium-robotics, a shift, and a goal."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}

    def __init__(self, simulation: Any, inner: Any, shift: np.ndarray, render_mode: str | None) -> None:
        self.simulation = simulation
        self.inner = inner
        self.shift = shift
        self.render_mode = render_mode
        self.goal = np.zeros(2)
        size = inner.model.nq + inner.model.nv
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (inner.model.nu,), np.float32)

    @property
    def position(self) -> np.ndarray:
        """X and y in D4RL's coordinates, ``(2,)``."""
        return np.asarray(self.inner.data.qpos[:2]) + self.shift

    def observe(self) -> np.ndarray:
        """All positions, then all velocities, as D4RL has them."""
        return np.concatenate([self.position, self.inner.data.qpos[2:], self.inner.data.qvel])

    def place(self, position: np.ndarray, rest: np.ndarray, velocity: np.ndarray, goal: np.ndarray) -> None:
        """Set the simulation to a state; ``position`` and ``goal`` are in D4RL's coordinates."""
        self.goal = goal
        self.simulation.goal = goal - self.shift
        self.simulation.update_target_site_pos()
        self.inner.reset()
        self.inner.set_state(np.concatenate([position - self.shift, rest]), velocity)

    def render(self) -> Any:
        """An image of the maze from gymnasium-robotics' camera."""
        return self.simulation.render()

    def close(self) -> None:
        """Free the simulation."""
        self.simulation.close()


class PointMazeEnv(_MazeEnv):
    """maze2d: a ball pushed through a maze; it never ends before the step limit.

    Args:
        maze: rows of ``#``, spaces and one ``G``.
        dense: reward by distance, instead of 1 near the goal.
        render_mode: ``rgb_array`` or None.
    """

    def __init__(self, maze: list[str], dense: bool = False, render_mode: str | None = None) -> None:
        from gymnasium_robotics.envs.maze.point_maze import PointMazeEnv as Simulation

        self.dense = dense
        # D4RL's x grows with the row and its y with the column: the map is rotated by 90 degrees.
        turned = ["".join(row[column] for row in maze) for column in range(len(maze[0]))][::-1]
        simulation = Simulation(maze_map=_cells(turned), render_mode=render_mode)
        shift = (np.array([len(maze), len(maze[0])]) - 1) / 2 - _BALL_OFFSET
        super().__init__(simulation, simulation.point_env, shift, render_mode)
        self._free = np.argwhere(np.array([list(row) for row in maze]) != "#").astype(np.float64)
        self._goal = _only(maze, "G")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start on a random free cell."""
        super().reset(seed=seed)
        position = self._free[self.np_random.integers(len(self._free))] + self.np_random.uniform(-0.1, 0.1, 2)
        self.place(position, np.empty(0), 0.1 * self.np_random.standard_normal(2), self._goal)
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push for a hundredth of a second."""
        self.inner.step(action)
        distance = float(np.linalg.norm(self.position - self._goal))
        return self.observe(), float(np.exp(-distance)) if self.dense else float(distance <= REACHED), False, False, {}


class AntMazeEnv(_MazeEnv):
    """antmaze: an ant walks from one end of a maze to the other; reaching the goal gives 1 and ends the episode.

    Args:
        maze: rows of ``#``, spaces, one ``R`` where the ant starts and one ``G``.
        render_mode: ``rgb_array`` or None.
    """

    def __init__(self, maze: list[str], render_mode: str | None = None) -> None:
        from gymnasium_robotics.envs.maze.ant_maze_v4 import AntMazeEnv as Simulation

        simulation = Simulation(maze_map=_cells(maze[::-1]), render_mode=render_mode)
        start, goal = _only(maze, "R"), _only(maze, "G")
        # D4RL's origin is where the ant starts, x along a row, y across the rows.
        centre = (np.array([len(maze), len(maze[0])]) - 1) / 2
        super().__init__(simulation, simulation.ant_env, (_CELL * (centre - start))[::-1], render_mode)
        self._goal = (_CELL * (goal - start))[::-1]
        self._as_in_d4rl(self.inner.model)
        self._rest = self.inner.model.qpos0[2:].copy()

    def _as_in_d4rl(self, model: Any) -> None:
        """D4RL's ant: motors of 30 instead of 150, steps of 0.02 s instead of 0.01 s, harder contacts."""
        model.opt.timestep = 0.02
        model.actuator_gear[:, 0] = 30.0
        model.geom_solimp[:] = [0.8, 0.8, 0.01, 0.5, 2.0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start near the origin, with a goal somewhere in its cell."""
        super().reset(seed=seed)
        noise = self.np_random.uniform(-0.1, 0.1, 2 + len(self._rest))
        spread = self.np_random.uniform(0.0, [0.25, 0.25, 0.125, 0.125]) * _CELL
        goal = np.maximum(self._goal + spread[:2] + spread[2:], 0.0)
        velocity = 0.1 * self.np_random.standard_normal(self.inner.model.nv)
        self.place(noise[:2], self._rest + noise[2:], velocity, goal)
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Walk for a tenth of a second."""
        self.inner.do_simulation(np.clip(action, -1.0, 1.0), self.inner.frame_skip)
        reached = bool(np.linalg.norm(self.position - self.goal) <= REACHED)
        return self.observe(), float(reached), reached, False, {}


def _cells(maze: list[str]) -> list[list[int | str]]:
    """A maze in gymnasium-robotics' form: 1 is a wall, ``g`` the goal, and every other cell a possible start."""
    signs: dict[str, int | str] = {"#": 1, "G": "g"}
    return [[signs.get(cell, "r") for cell in row] for row in maze]


def _only(maze: list[str], sign: str) -> np.ndarray:
    """Row and column of the one cell with a sign, ``(2,)`` float64."""
    ((row, column),) = [(i, j) for i, line in enumerate(maze) for j, cell in enumerate(line) if cell == sign]
    return np.array([row, column], np.float64)
