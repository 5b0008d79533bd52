"""What environments say of success is read from either of its two names, in play as in recordings."""

from __future__ import annotations

from contextlib import closing

import gymnasium
import numpy as np
import pytest

from seqrl_cli import load_dataset, record
from seqrl_cli.behaviour.collect import play_episode
from seqrl_cli.envs.success import stated_success
from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector.vector import SeededVectorEnv

TOLD = "tests.envs.test_success:Told-v0"
accept(TOLD)


class Told(gymnasium.Env):
    """Solved after the second step, which is said under ``key``."""

    observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    key = "is_success"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1), 0.0, False, False, {self.key: np.float32(self.steps == 2)}


gymnasium.register("Told-v0", Told, max_episode_steps=3)


class Still:
    """Stands still."""

    def act(self, observation, rng):
        return np.zeros(1, np.float32)


@pytest.mark.parametrize("key", ["success", "is_success"])
def test_every_way_to_play_reads_both_names(key, tmp_path, monkeypatch):
    monkeypatch.setattr(Told, "key", key)
    expected = [False, True, False]
    with closing(SeededVectorEnv(TOLD, 1)) as vector:
        vector.start(0, 0)
        assert [bool(vector.step(np.zeros((1, 1))).successes[0]) for _ in range(3)] == expected
    rng = np.random.default_rng(0)
    assert play_episode(gymnasium.make("Told-v0"), Still(), rng).successes.tolist() == expected
    with record(gymnasium.make("Told-v0"), tmp_path / "told.h5") as env:
        play_episode(env, Still(), rng)
    assert load_dataset(tmp_path / "told.h5").episodes.successes.tolist() == expected


@pytest.mark.parametrize(
    ("info", "stated"),
    [
        ({}, None),
        ({"is_success": None}, None),
        ({"is_success": 0.0}, False),
        ({"success": False, "is_success": True}, False),
        ({"is_success": np.array([True]), "_is_success": np.array([True])}, True),
        ({"is_success": np.array([False]), "_is_success": np.array([False])}, None),
    ],
)
def test_what_an_info_says(info, stated):
    assert stated_success(info) is stated
