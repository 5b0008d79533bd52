"""An environment that is registered when this module is imported, as a user's own is."""

from __future__ import annotations

import gymnasium
import numpy as np


class Lasting(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (10,))
    action_space = gymnasium.spaces.Box(-2, 2, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(10, np.float32), {}

    def step(self, action):
        return np.zeros(10, np.float32), 0.0, False, False, {}


gymnasium.register("Lasting-v0", "tests.artifacts.lasting:Lasting", max_episode_steps=77)
