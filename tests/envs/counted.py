"""Environments that count how many of them are open."""

from __future__ import annotations

import gymnasium
import numpy as np

from seqrl_cli.envs.trust import accept

PICTURES = "tests.envs.counted:Pictures-v0"
COUNTED, UNSUITABLE = "tests.envs.counted:Counted-v0", "tests.envs.counted:CountedTwofold-v0"
for name in (PICTURES, COUNTED, UNSUITABLE):
    accept(name)


class CountedEnv(gymnasium.Env):
    """Ten steps, worth 1 each."""

    made = 0
    open = 0
    limit: int | None = None  # how many can be made

    def __init__(self, twofold: bool = False) -> None:
        if CountedEnv.limit is not None and CountedEnv.made >= CountedEnv.limit:
            raise MemoryError("no room for another one")
        self.observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float64)
        box, twofold_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32), gymnasium.spaces.MultiDiscrete([3, 2])
        self.action_space = twofold_space if twofold else box
        CountedEnv.made += 1
        CountedEnv.open += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2), {}

    def step(self, action):
        return np.zeros(2), 1.0, False, False, {}

    def close(self) -> None:
        CountedEnv.open -= 1


class PictureEnv(gymnasium.Env):
    """Noise as images; an action is one of four choices, which is worth its number."""

    observation_space = gymnasium.spaces.Box(0, 255, (5, 4, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return self._picture(), float(action), False, False, {}

    def _picture(self) -> np.ndarray:
        return self.np_random.integers(256, size=(5, 4, 3), dtype=np.uint8)


gymnasium.register("Counted-v0", CountedEnv, max_episode_steps=10)
gymnasium.register("CountedTwofold-v0", CountedEnv, max_episode_steps=10, kwargs={"twofold": True})
gymnasium.register("Pictures-v0", PictureEnv, max_episode_steps=10)
