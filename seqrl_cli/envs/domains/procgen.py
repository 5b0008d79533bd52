"""ProcGen's 16 games (Cobbe et al., 2020, arXiv 1912.01588) with gymnasium's interface.

ProcGen has no package for today's Python; ``procgen-mirror`` has, but asks for versions of NumPy and gym that nothing
else here works with. It runs without them: installed with ``--no-deps``, and with a stub for the module ``gym``, which
it imports only to register its environments there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np

SIDE = 64
EPISODE_STEPS = 1000
_NUM_ACTIONS = 15


class ProcgenEnv(gymnasium.Env[np.ndarray, Any]):
    """One game on its easy levels: observations ``(64, 64, 3)`` uint8, 15 actions.

    Args:
        game: ProcGen's name, for example ``coinrun``.
        render_mode: ``rgb_array`` or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}

    def __init__(self, game: str, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._game = game
        self._env: Any = _make(game, 0)
        self._picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(_NUM_ACTIONS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode on a level that depends on the seed alone; without a seed, on the next level."""
        super().reset(seed=seed)
        self._env.close()
        self._env = _make(self._game, int(self.np_random.integers(2**31)))
        self._picture = self._env.observe()[1]["rgb"][0].copy()
        return self._picture, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step; when an episode ends, ProcGen shows the next level already, so its last picture is kept."""
        self._env.act(np.array([action], np.int32))
        reward, observation, first = self._env.observe()
        terminated = bool(first[0])
        if not terminated:
            self._picture = observation["rgb"][0].copy()
        return self._picture, float(reward[0]), terminated, False, {}

    def render(self) -> np.ndarray | None:
        """The observation."""
        return None if self.render_mode is None else self._picture

    def close(self) -> None:
        """Free the game."""
        self._env.close()


def _make(game: str, seed: int) -> Any:
    options = {"distribution_mode": "easy", "rand_seed": seed, "num_levels": 0}
    # a thread of its own, which is the default, makes a step of one game a fifth slower
    return _procgen().ProcgenGym3Env(num=1, env_name=game, num_threads=0, **options)


def _procgen() -> ModuleType:
    """ProcGen, imported with a stub in place of gym if that is not installed."""
    if "procgen" in sys.modules:
        return sys.modules["procgen"]
    stubs = {} if importlib.util.find_spec("gym") else _gym_stub()
    sys.modules.update(stubs)
    try:
        return importlib.import_module("procgen")
    finally:
        for name in stubs:
            sys.modules.pop(name, None)


def _gym_stub() -> dict[str, ModuleType]:
    """The parts of gym that ProcGen imports, by module name."""
    registration = ModuleType("gym.envs.registration")
    registration.__dict__["register"] = lambda *_, **__: None
    gym, envs = ModuleType("gym"), ModuleType("gym.envs")
    envs.__dict__["registration"] = registration
    gym.__dict__["envs"] = envs
    return {module.__name__: module for module in (gym, envs, registration)}
