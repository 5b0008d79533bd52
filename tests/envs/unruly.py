"""Environments that do not do what gymnasium's environments do."""

from __future__ import annotations

import sys

import gymnasium
import numpy as np

from seqrl_cli.envs.trust import accept

BOX = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


class Unruly(gymnasium.Env):
    """Does wrong what ``fault`` names."""

    observation_space = action_space = BOX

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.spoil("made")
        if fault == "no space":
            self.action_space = None

    def spoil(self, when: str) -> None:
        if self.fault == when:
            raise OSError("a cable is loose\nsomewhere")
        if self.fault == f"{when} and left":
            sys.exit()

    def reset(self, *, seed=None, options=None):
        self.spoil("reset")
        return np.zeros(2) if self.fault == "old reset" else (np.zeros(2), {})

    def step(self, action):
        self.spoil("step")
        observation, reward = np.zeros(3 if self.fault == "shape" else 2), 1.0
        if self.fault == "nan":
            observation[1] = np.nan
        if self.fault == "old step":
            return observation, reward, False, {}
        rewards = {"one": np.ones((1, 1)), "two": np.ones(2), "none": None, "words": "much"}
        return observation, rewards.get(self.fault.removeprefix("reward "), reward), False, False, {}

    def close(self) -> None:
        raise OSError("it is closed already")


def unruly(fault: str) -> str:
    """The id of an environment with a fault."""
    name = f"Unruly{fault.title().replace(' ', '')}-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, Unruly, max_episode_steps=5, kwargs={"fault": fault})
    accept(f"tests.envs.unruly:{name}")
    return f"tests.envs.unruly:{name}"
