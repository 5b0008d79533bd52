"""Episodes as ``plan`` records them: real MuJoCo, with plans that are the true future plus a little noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seqrl_cli.envs.make import make_env

FAMILIES = ("Hopper-v4", "HalfCheetah-v4", "Walker2d-v4", "Ant-v4")


def play(env_id: str, steps: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A smooth random rollout that goes on after a fall: observations, rewards, and true positions and velocities."""
    env = make_env(env_id)
    simulation: Any = env.unwrapped
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    assert env.action_space.shape is not None
    phases = rng.uniform(0, 2 * np.pi, env.action_space.shape)
    observations, rewards = [observation], []
    qpos, qvel = [simulation.data.qpos.copy()], [simulation.data.qvel.copy()]
    for step in range(steps):
        observation, reward, *_ = simulation.step(0.4 * np.sin(0.3 * step + phases))
        observations.append(observation)
        rewards.append(reward)
        qpos.append(simulation.data.qpos.copy())
        qvel.append(simulation.data.qvel.copy())
    env.close()
    arrays = {"observations": observations, "rewards": rewards, "qpos": qpos, "qvel": qvel}
    return {name: np.asarray(values) for name, values in arrays.items()}


def write_record(
    folder: Path, env_id: str = "Hopper-v4", steps: int = 40, horizon: int = 6, noise: float = 0.01
) -> Path:
    """Write ``episode-000.json`` and ``episode-000.h5``; returns the JSON's path."""
    episode = play(env_id, steps)
    rng = np.random.default_rng(1)
    observations = episode["observations"]
    plans = np.full((steps, horizon, observations.shape[1]), np.nan, dtype=np.float32)
    for step in range(steps):
        future = observations[step : step + horizon]
        plans[step, : len(future)] = future + noise * rng.standard_normal(future.shape)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "episode-000.json"
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.attrs.update(env_id=env_id, dataset="sim/hopper-medium")
        for name, values in episode.items():
            file[name] = values
        file["plan_observations"] = plans
    outcome = {"score": 0.25, "return": 800.0, "episode": 0, "dataset": "sim/hopper-medium", "run": "gpt-s42"}
    path.write_text(json.dumps(outcome), encoding="utf-8")
    return path
