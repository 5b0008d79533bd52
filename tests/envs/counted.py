"""Environments that count how many of them are open."""

from __future__ import annotations

import gymnasium
import numpy as np

COUNTED, DISCRETE = "tests.envs.counted:Counted-v0", "tests.envs.counted:CountedDiscrete-v0"


class CountedEnv(gymnasium.Env):
    """Ten steps, worth 1 each."""

    made = 0
    open = 0
    limit: int | None = None  # how many can be made

    def __init__(self, discrete: bool = False) -> None:
        if CountedEnv.limit is not None and CountedEnv.made >= CountedEnv.limit:
            raise MemoryError("no room for another one")
        self.observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(3) if discrete else gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        CountedEnv.made += 1
        CountedEnv.open += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2), {}

    def step(self, action):
        return np.zeros(2), 1.0, False, False, {}

    def close(self) -> None:
        CountedEnv.open -= 1


gymnasium.register("Counted-v0", CountedEnv, max_episode_steps=10)
gymnasium.register("CountedDiscrete-v0", CountedEnv, max_episode_steps=10, kwargs={"discrete": True})
