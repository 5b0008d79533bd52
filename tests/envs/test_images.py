"""Images with colours first, as PyTorch wants them, have them last in recordings and in environments alike."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from seqrl_cli import record
from seqrl_cli.data.formats.d4rl import read_d4rl
from seqrl_cli.envs.make import make_env, spaces_of

STEPS = 5


class PlanesEnv(gymnasium.Env):
    """Noise as images (planes, rows, columns)."""

    action_space = gymnasium.spaces.Discrete(4)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action):
        return self._picture(), 1.0, False, False, {}

    def _picture(self) -> np.ndarray:
        return self.np_random.integers(256, size=self.observation_space.shape, dtype=np.uint8)


SHAPES = {
    "Planes-v0": (3, 13, 13),
    "Frames-v0": (4, 20, 30),
    "Small-v0": (3, 9, 9),
    "Colours-v0": (9, 9, 3),
    "Rows-v0": (9, 9),
}
LAST = {"Planes-v0": (13, 13, 3), "Frames-v0": (20, 30, 4)}
for name, shape in SHAPES.items():
    gymnasium.register(name, PlanesEnv, max_episode_steps=STEPS, kwargs={"shape": shape})


@pytest.mark.parametrize("env_id", SHAPES)
def test_an_environment_shows_what_its_recording_has(tmp_path, env_id):
    with record(gymnasium.make(env_id), tmp_path / "a.h5") as env:
        env.reset(seed=3)
        for _ in range(STEPS):
            env.step(0)
    recorded = read_d4rl(tmp_path / "a.h5")
    played = make_env(env_id)
    seen = [played.reset(seed=3)[0], *(played.step(0)[0] for _ in range(STEPS - 1))]
    played.close()
    np.testing.assert_array_equal(recorded.observations, seen)
    assert recorded.observations.shape[1:] == LAST.get(env_id, SHAPES[env_id])
    assert recorded.spaces.observation.fits(spaces_of(played).observation)
    assert played.observation_space.contains(seen[0])
