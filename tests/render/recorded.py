"""Episodes as ``plan`` records them: real MuJoCo, with plans that are the true future plus a little noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.envs.make import make_env
from seqrl_cli.planning.episode_files import PlanFacts, write_episode
from seqrl_cli.planning.episode_record import EpisodeRecord

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


FACTS = PlanFacts(
    dataset="sim/hopper-medium",
    env_id="Hopper-v4",
    run="gpt-s42",
    arch="gpt",
    checkpoint_step=5000,
    settings={},
    seed=0,
)


def write_recorded(
    folder: Path,
    env_id: str = "Hopper-v4",
    steps: int = 40,
    horizon: int = 6,
    noise: float = 0.01,
    score: float | None = 0.25,
    **arrays: np.ndarray,
) -> Path:
    """Write episode 0 of a plan folder; returns the JSON's path.

    Args:
        folder: the plan folder.
        env_id: a MuJoCo environment.
        steps: how many.
        horizon: of the plans; 0 for a model that does not plan.
        noise: of the plans.
        score: as a fraction.
        **arrays: replace what was played.
    """
    played = play(env_id, steps)
    rng = np.random.default_rng(1)
    observations = played["observations"]
    plans = np.full((steps, horizon, observations.shape[1]), np.nan, dtype=np.float32)
    for step in range(steps):
        future = observations[step : step + horizon]
        plans[step, : len(future)] = future + noise * rng.standard_normal(future.shape)
    values = {**played, "plan_observations": plans if horizon else None, "actions": np.zeros((steps, 3)), **arrays}
    record = EpisodeRecord(0, seed=7, terminated=False, seconds_per_step=0.01, **values)
    return write_episode(folder, replace(FACTS, env_id=env_id), record, score)
